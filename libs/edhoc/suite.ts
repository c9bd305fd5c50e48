import type { Crypto } from '#crypto'
import type { Suite } from './types.ts'

/** SHA-256, the EDHOC hash algorithm of every suite used here. */
export const HASH_LENGTH = 32
/** X25519: G_X, G_Y and G_XY. */
export const AGREEMENT_LENGTH = 32
/** Ed25519: Signature_or_MAC_2 and Signature_or_MAC_3 in method 0. */
export const SIGNATURE_LENGTH = 64

/** Cipher suite 4, RFC 9528 §10.2: ChaCha20/Poly1305, SHA-256, 16, X25519, EdDSA. */
export function suite4(crypto: Crypto): Suite {
  return {
    id: 4,
    aeadKeyLength: 32,
    aeadNonceLength: 12,
    aeadTagLength: 16,
    macLength: 16,
    aeadSeal: (key, nonce, aad, plaintext) => crypto.aead(key).seal(nonce, aad, plaintext),
    aeadOpen: (key, nonce, aad, ciphertext) => crypto.aead(key).open(nonce, aad, ciphertext),
  }
}
