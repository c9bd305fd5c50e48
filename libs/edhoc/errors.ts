import { CodedError } from '#errors'

export type EdhocErrorCode =
  /** Bytes that are not the CDDL of the message, or not deterministic CBOR. */
  | 'edhoc/malformed'
  | 'edhoc/too-large'
  | 'edhoc/unsupported-method'
  /** SUITES_I does not select our suite, or names it as more preferred than the selected one. */
  | 'edhoc/wrong-suite'
  /** An ephemeral key of the wrong length or of low order. */
  | 'edhoc/bad-key'
  | 'edhoc/critical-ead'
  /** CIPHERTEXT_3 or CIPHERTEXT_4 does not open. */
  | 'edhoc/not-authentic'
  | 'edhoc/bad-signature'
  /** For `ResolvePeer`: the credential referred to is not at hand (ERR_CODE 3). */
  | 'edhoc/unknown-credential'
  /** The peer presents our own credential or key (RFC 9528 §9.2). */
  | 'edhoc/own-identity'
  /** C_I equals C_R. */
  | 'edhoc/same-identifier'
  /** A state was given a second message. */
  | 'edhoc/state-spent'
  /** A parameter of ours is wrong; never caused by the peer. */
  | 'edhoc/bad-argument'

export function edhocError(code: EdhocErrorCode, message: string, cause?: unknown): CodedError {
  return new CodedError(code, message, cause === undefined ? undefined : { cause })
}
