import { chacha20poly1305 } from '@noble/ciphers/chacha.js'
import { ed25519, x25519 } from '@noble/curves/ed25519.js'
import { expand, extract } from '@noble/hashes/hkdf.js'
import { hmac } from '@noble/hashes/hmac.js'
import { sha256 } from '@noble/hashes/sha2.js'
import { CodedError } from '#errors'
import type { AeadKey, AgreementKey, Crypto, SigningKey, VerifyKey } from './interface.ts'
import { assertLength, isStrictSignature, requireStrictKey } from './strict.ts'

const HKDF_LONGEST = 255 * 32
const TAG_LENGTH = 16

function hkdfExpand(prk: Uint8Array, info: Uint8Array, length: number): Uint8Array {
  if (prk.length < 32) throw new CodedError('crypto/bad-length', 'prk must be at least 32 bytes')
  if (!Number.isInteger(length) || length < 0 || length > HKDF_LONGEST)
    throw new CodedError('crypto/bad-length', `HKDF gives 0 to ${HKDF_LONGEST} bytes`)
  return expand(sha256, prk, info, length)
}

function signingKey(secret: Uint8Array): SigningKey {
  assertLength('signing secret', secret, 32)
  const own = Uint8Array.from(secret)
  return {
    publicKey: ed25519.getPublicKey(own),
    sign: (message) => ed25519.sign(message, own),
  }
}

function verifyKey(publicKey: Uint8Array): VerifyKey {
  requireStrictKey(publicKey)
  const own = Uint8Array.from(publicKey)
  return {
    publicKey: Uint8Array.from(own),
    verify: (message, signature) =>
      isStrictSignature(signature) && ed25519.verify(signature, message, own, { zip215: false }),
  }
}

function agreementKey(secret: Uint8Array): AgreementKey {
  assertLength('agreement secret', secret, 32)
  const own = Uint8Array.from(secret)
  return {
    publicKey: x25519.getPublicKey(own),
    shared(peerPublic) {
      assertLength('peer public key', peerPublic, 32)
      try {
        return x25519.getSharedSecret(own, peerPublic)
      } catch {
        throw new CodedError('crypto/low-order', 'key agreement gave the all-zero secret')
      }
    },
  }
}

function aeadKey(key: Uint8Array): AeadKey {
  assertLength('AEAD key', key, 32)
  const own = Uint8Array.from(key)
  return {
    seal(nonce, aad, plaintext) {
      assertLength('nonce', nonce, 12)
      return chacha20poly1305(own, nonce, aad).encrypt(plaintext)
    },
    open(nonce, aad, ciphertext) {
      assertLength('nonce', nonce, 12)
      if (ciphertext.length < TAG_LENGTH) return null
      try {
        return chacha20poly1305(own, nonce, aad).decrypt(ciphertext)
      } catch {
        return null // lengths are right, so the tag was wrong
      }
    },
  }
}

/** Runs anywhere JavaScript does: browsers, small meters, tests. The reference for the others. */
export const nobleCrypto: Crypto = {
  sha256: (data) => sha256(data),
  hmacSha256: (key, data) => hmac(sha256, key, data),
  hkdfExtract: (salt, ikm) => extract(sha256, ikm, salt),
  hkdfExpand,
  signingKey,
  verifyKey,
  x25519: agreementKey,
  aead: aeadKey,
}
