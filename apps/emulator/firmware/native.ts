/** The firmware whose arithmetic is machine code beside it, as a library in C would be on a chip. */
import { assertLength, requireStrictKey, type Crypto } from '#crypto'
import { CodedError } from '#errors'
import type { Firmware, Host, Provision } from './host.ts'
import { createFirmware } from './main.ts'

export function boot(host: Host, provision: Provision): Firmware {
  return createFirmware(host, provision, nativeCrypto(host))
}

function nativeCrypto({ native }: Host): Crypto {
  return {
    sha256: (data) => native('sha256', data),
    hmacSha256: (key, data) => native('hmac', key, data),
    hkdfExtract: (salt, ikm) => native('hmac', salt, ikm),
    hkdfExpand: (prk, info, length) =>
      native('expand', prk, info, Uint8Array.of(length >> 8, length & 255)),
    signingKey(secret) {
      assertLength('signing secret', secret, 32)
      const own = Uint8Array.from(secret)
      return { publicKey: native('public', own), sign: (message) => native('sign', own, message) }
    },
    verifyKey(publicKey) {
      requireStrictKey(publicKey)
      const verify = (message: Uint8Array, signature: Uint8Array) =>
        native('verify', publicKey, message, signature)[0] === 1
      return { publicKey, verify }
    },
    x25519(secret) {
      assertLength('agreement secret', secret, 32)
      const own = Uint8Array.from(secret)
      return {
        publicKey: native('agree-public', own),
        shared(peer) {
          assertLength('peer public key', peer, 32)
          const answer = native('agree', own, peer)
          if (answer.length > 0) return answer
          throw new CodedError('crypto/low-order', 'key agreement gave the all-zero secret')
        },
      }
    },
    aead(key) {
      assertLength('AEAD key', key, 32)
      const own = Uint8Array.from(key)
      return {
        seal: (nonce, aad, plaintext) => native('seal', own, nonce, aad, plaintext),
        open(nonce, aad, ciphertext) {
          // One byte in front says whether there is a plaintext, which may be empty.
          const answer = native('open', own, nonce, aad, ciphertext)
          return answer[0] === 1 ? answer.subarray(1) : null
        },
      }
    },
  }
}
