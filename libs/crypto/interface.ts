/**
 * Every implementation checks lengths before use (crypto/bad-length); keys are objects so that an
 * implementation can prepare them once. Secrets are copied in and never handed out again; what is handed
 * out is the caller's, who may overwrite it.
 */
export interface Crypto {
  /** FIPS 180-4, 32 bytes. */
  sha256(data: Uint8Array): Uint8Array
  /** RFC 2104 with SHA-256, 32 bytes. */
  hmacSha256(key: Uint8Array, data: Uint8Array): Uint8Array
  /** RFC 5869 §2.2 with SHA-256: a 32-byte pseudorandom key. */
  hkdfExtract(salt: Uint8Array, ikm: Uint8Array): Uint8Array
  /** RFC 5869 §2.3 with SHA-256: `length` from 0 to 8160 bytes. */
  hkdfExpand(prk: Uint8Array, info: Uint8Array, length: number): Uint8Array
  /** Ed25519 (RFC 8032) from its 32-byte seed. */
  signingKey(secret: Uint8Array): SigningKey
  /** @throws crypto/bad-public-key for an encoding `requireStrictKey` refuses */
  verifyKey(publicKey: Uint8Array): VerifyKey
  /** X25519 (RFC 7748) from its 32-byte secret. */
  x25519(secret: Uint8Array): AgreementKey
  /** ChaCha20-Poly1305 (RFC 8439) with a 32-byte key. */
  aead(key: Uint8Array): AeadKey
}

export interface SigningKey {
  readonly publicKey: Uint8Array
  sign(message: Uint8Array): Uint8Array
}

export interface VerifyKey {
  readonly publicKey: Uint8Array
  /** Never throws: a signature of the wrong length or form is simply false. */
  verify(message: Uint8Array, signature: Uint8Array): boolean
}

export interface AgreementKey {
  readonly publicKey: Uint8Array
  /** @throws crypto/low-order when the result would be all zero (RFC 7748 §6.1) */
  shared(peerPublic: Uint8Array): Uint8Array
}

export interface AeadKey {
  /** Ciphertext followed by the 16-byte tag. A nonce must never be used twice with one key. */
  seal(nonce: Uint8Array, aad: Uint8Array, plaintext: Uint8Array): Uint8Array
  /** null: not made with this key, nonce and aad. Nothing of the plaintext gets out then. */
  open(nonce: Uint8Array, aad: Uint8Array, ciphertext: Uint8Array): Uint8Array | null
}
