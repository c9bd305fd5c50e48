/**
 * The primitives of EDHOC suite 4 in as little code and memory as they take: big integers, no
 * tables. For interpreters on small chips; elsewhere noble and Node are faster. See README.md.
 */
import { concat } from '#bytes'
import { assertLength, requireStrictKey, type Crypto } from '#crypto'
import { CodedError } from '#errors'
import { open, seal } from './chacha.ts'
import { publicKeyOf, sign, verify } from './ed25519.ts'
import { sha256 } from './sha2.ts'
import { x25519 } from './x25519.ts'

const BLOCK_BYTES = 64
const HKDF_LONGEST = 255 * 32

/** RFC 2104. */
function hmac(key: Uint8Array, data: Uint8Array): Uint8Array {
  const padded = new Uint8Array(BLOCK_BYTES)
  padded.set(key.length > BLOCK_BYTES ? sha256(key) : key)
  const inner = sha256(
    concat(
      padded.map((byte) => byte ^ 0x36),
      data,
    ),
  )
  return sha256(
    concat(
      padded.map((byte) => byte ^ 0x5c),
      inner,
    ),
  )
}

/** RFC 5869 §2.3. */
function hkdfExpand(prk: Uint8Array, info: Uint8Array, length: number): Uint8Array {
  if (prk.length < 32) throw new CodedError('crypto/bad-length', 'prk must be at least 32 bytes')
  if (!Number.isInteger(length) || length < 0 || length > HKDF_LONGEST)
    throw new CodedError('crypto/bad-length', `HKDF gives 0 to ${HKDF_LONGEST} bytes`)
  const out = new Uint8Array(length)
  let part = new Uint8Array()
  for (let at = 0, i = 1; at < length; at += 32, i++) {
    part = new Uint8Array(hmac(prk, concat(part, info, Uint8Array.of(i))))
    out.set(part.subarray(0, length - at), at)
  }
  return out
}

export const smallCrypto: Crypto = {
  sha256,
  hmacSha256: hmac,
  hkdfExtract: hmac,
  hkdfExpand,
  signingKey(secret) {
    assertLength('signing secret', secret, 32)
    const own = Uint8Array.from(secret)
    const publicKey = publicKeyOf(own)
    // Signing with another public key than one's own would give the secret away
    return {
      publicKey: Uint8Array.from(publicKey),
      sign: (message) => sign(message, own, publicKey),
    }
  },
  verifyKey(publicKey) {
    requireStrictKey(publicKey)
    const own = Uint8Array.from(publicKey)
    return {
      publicKey: Uint8Array.from(own),
      verify: (message, signature) => verify(message, signature, own),
    }
  },
  x25519(secret) {
    assertLength('agreement secret', secret, 32)
    const own = Uint8Array.from(secret)
    return {
      publicKey: x25519(own),
      shared(peerPublic) {
        assertLength('peer public key', peerPublic, 32)
        const shared = x25519(own, peerPublic)
        if (shared.some((byte) => byte !== 0)) return shared
        throw new CodedError('crypto/low-order', 'key agreement gave the all-zero secret')
      },
    }
  },
  aead(key) {
    assertLength('AEAD key', key, 32)
    const own = Uint8Array.from(key)
    return {
      seal(nonce, aad, plaintext) {
        assertLength('nonce', nonce, 12)
        return seal(own, nonce, aad, plaintext)
      },
      open(nonce, aad, ciphertext) {
        assertLength('nonce', nonce, 12)
        return open(own, nonce, aad, ciphertext)
      },
    }
  },
}
