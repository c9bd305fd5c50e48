/** Our own numbers, not the RFC's. See README.md, "Limits". */

/** Longest EDHOC message read or written, in bytes. Credentials by value need about 300. */
export const MESSAGE_BYTES = 1024
