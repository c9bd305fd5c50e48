/**
 * A stand-in for the cryptography with the same interface, fast enough for thousands of simulated
 * days: keyed hashes in place of Ed25519, X25519 and ChaCha20-Poly1305. Whoever changes a byte is
 * found out as with the real thing; whoever wants to cheat is not kept from it, so it is of no use
 * outside a simulation.
 */
import { concat, equal, toHex } from '#bytes'
import { assertLength, type AeadKey, type Crypto } from '#crypto'
import { nodeCrypto } from '#crypto-node'

const tagLength = 16

/** 32 bytes that depend on every bit of the parts; four lanes of two 32-bit words. */
function mix(...parts: Uint8Array[]): Uint8Array {
  let [a, b, c, d] = [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344]
  for (const part of parts) {
    // The length first, so that parts cannot be shifted into each other.
    a = Math.imul(a ^ part.length, 0x9e3779b1)
    for (let i = 0; i < part.length; i++) {
      a = Math.imul(a ^ part[i]!, 0x01000193)
      b = Math.imul((b ^ (a >>> 7)) + part[i]!, 0x85ebca6b)
      c = (c ^ (b >>> 11)) + Math.imul(a, 5)
      d = Math.imul(d ^ c, 0xc2b2ae35) + (b >>> 3)
    }
  }
  const out = new Uint8Array(32)
  const words = new Uint32Array(out.buffer)
  for (let i = 0; i < 8; i++) {
    a = Math.imul(a ^ (d >>> 15), 0x85ebca6b) + i
    b = Math.imul(b ^ (a >>> 13), 0xc2b2ae35)
    c = Math.imul(c ^ (b >>> 16), 0x27d4eb2f)
    d = (d ^ c) + Math.imul(a, 9)
    words[i] = a ^ b ^ c ^ d
  }
  return out
}

const label = (text: string) => Uint8Array.from(text, (char) => char.charCodeAt(0))
const [signLabel, agreeLabel, aeadLabel, hmacLabel] = ['s', 'x', 'a', 'h'].map(label) as [
  Uint8Array,
  Uint8Array,
  Uint8Array,
  Uint8Array,
]

/** Secrets by public key: what makes checking a signature possible here, and forging it too. */
const signers = new Map<string, Uint8Array>()

function signatureOf(secret: Uint8Array, message: Uint8Array): Uint8Array {
  const half = mix(signLabel, secret, message)
  return concat(half, mix(signLabel, half))
}

function expand(prk: Uint8Array, info: Uint8Array, length: number): Uint8Array {
  const out = new Uint8Array(length)
  for (let i = 0; i * 32 < length; i++) {
    const block = mix(hmacLabel, prk, info, Uint8Array.of(i))
    out.set(block.subarray(0, Math.min(32, length - i * 32)), i * 32)
  }
  return out
}

function aead(key: Uint8Array): AeadKey {
  assertLength('AEAD key', key, 32)
  const own = key.slice()
  const tagOf = (nonce: Uint8Array, aad: Uint8Array, text: Uint8Array) =>
    mix(aeadLabel, own, nonce, aad, text).subarray(0, tagLength)
  return {
    seal(nonce, aad, plaintext) {
      assertLength('nonce', nonce, 12)
      return concat(plaintext, tagOf(nonce, aad, plaintext))
    },
    open(nonce, aad, ciphertext) {
      assertLength('nonce', nonce, 12)
      const length = ciphertext.length - tagLength
      if (length < 0) return null
      const plaintext = ciphertext.slice(0, length)
      return equal(tagOf(nonce, aad, plaintext), ciphertext.subarray(length)) ? plaintext : null
    },
  }
}

export const standInCrypto: Crypto = {
  sha256: (data) => mix(data),
  hmacSha256: (key, data) => mix(hmacLabel, key, data),
  hkdfExtract: (salt, ikm) => mix(hmacLabel, salt, ikm),
  hkdfExpand: expand,
  signingKey(secret) {
    // A real public key, because credentials are only issued over those.
    const { publicKey } = nodeCrypto.signingKey(secret)
    const own = secret.slice()
    signers.set(toHex(publicKey), own)
    return { publicKey, sign: (message) => signatureOf(own, message) }
  },
  verifyKey(publicKey) {
    const secret = signers.get(toHex(publicKey))
    return {
      publicKey: Uint8Array.from(publicKey),
      verify: (message, signature) =>
        secret !== undefined && equal(signatureOf(secret, message), signature),
    }
  },
  x25519(secret) {
    const publicKey = mix(agreeLabel, secret)
    return {
      publicKey,
      // The same from both sides, and different for every pair.
      shared: (peer) => mix(agreeLabel, ...[publicKey, peer].toSorted(compare)),
    }
  },
  aead,
}

function compare(a: Uint8Array, b: Uint8Array): number {
  const at = a.findIndex((byte, index) => byte !== b[index])
  return at < 0 ? 0 : a[at]! - b[at]!
}

/** `crypto` with every sealing reported: the one who listens sees each key and nonce. */
export function watchSealing(
  crypto: Crypto,
  onSeal: (keyId: string, nonce: string) => void,
): Crypto {
  return {
    ...crypto,
    aead(key) {
      const inner = crypto.aead(key)
      const keyId = String.fromCharCode(...key)
      return {
        open: (nonce, aad, ciphertext) => inner.open(nonce, aad, ciphertext),
        seal(nonce, aad, plaintext) {
          onSeal(keyId, String.fromCharCode(...nonce))
          return inner.seal(nonce, aad, plaintext)
        },
      }
    },
  }
}
