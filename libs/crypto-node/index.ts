/** The same primitives on node:crypto, for the hot paths of fog nodes and the cloud. */
import {
  createCipheriv,
  createDecipheriv,
  createSecretKey,
  diffieHellman,
  hash,
  sign,
  verify,
} from 'node:crypto'
import { concat } from '#bytes'
import {
  assertLength,
  isStrictSignature,
  requireStrictKey,
  type AeadKey,
  type AgreementKey,
  type Crypto,
  type SigningKey,
  type VerifyKey,
} from '#crypto'
import { CodedError } from '#errors'
import { hkdfExpand, hkdfExtract, hmacSha256 } from './hmac.ts'
import { privateKeyObject, publicKeyObject, rawPublic } from './keys.ts'

export { privateKeyObject, publicKeyObject, rawPublic }

const AEAD = 'chacha20-poly1305'
const TAG_LENGTH = 16

/** What the interface promises: the plain type, in memory of its own instead of a shared pool. */
function plain(buffer: Buffer): Uint8Array {
  return new Uint8Array(buffer)
}

function signingKey(secret: Uint8Array): SigningKey {
  assertLength('signing secret', secret, 32)
  const key = privateKeyObject('ed25519', secret)
  return {
    publicKey: rawPublic(key),
    sign: (message) => plain(sign(null, message, key)),
  }
}

function verifyKey(publicKey: Uint8Array): VerifyKey {
  requireStrictKey(publicKey)
  const key = publicKeyObject('ed25519', publicKey)
  return {
    publicKey: Uint8Array.from(publicKey),
    verify: (message, signature) =>
      isStrictSignature(signature) && verify(null, message, key, signature),
  }
}

function agreementKey(secret: Uint8Array): AgreementKey {
  assertLength('agreement secret', secret, 32)
  const key = privateKeyObject('x25519', secret)
  return {
    publicKey: rawPublic(key),
    shared(peerPublic) {
      assertLength('peer public key', peerPublic, 32)
      const peer = publicKeyObject('x25519', peerPublic)
      try {
        return plain(diffieHellman({ privateKey: key, publicKey: peer }))
      } catch {
        throw new CodedError('crypto/low-order', 'key agreement gave the all-zero secret')
      }
    },
  }
}

function aeadKey(key: Uint8Array): AeadKey {
  assertLength('AEAD key', key, 32)
  const prepared = createSecretKey(key) // five times faster than passing the bytes every time
  const options = { authTagLength: TAG_LENGTH }
  return {
    seal(nonce, aad, plaintext) {
      assertLength('nonce', nonce, 12)
      const cipher = createCipheriv(AEAD, prepared, nonce, options)
      cipher.setAAD(aad, { plaintextLength: plaintext.length })
      const body = cipher.update(plaintext)
      cipher.final()
      return concat(body, cipher.getAuthTag())
    },
    open(nonce, aad, ciphertext) {
      assertLength('nonce', nonce, 12)
      const length = ciphertext.length - TAG_LENGTH
      if (length < 0) return null
      const decipher = createDecipheriv(AEAD, prepared, nonce, options)
      decipher.setAAD(aad, { plaintextLength: length })
      decipher.setAuthTag(ciphertext.subarray(length))
      const plaintext = decipher.update(ciphertext.subarray(0, length))
      try {
        decipher.final()
      } catch {
        return null
      }
      const { buffer, byteOffset } = plaintext // made for this call, not from the pool
      return new Uint8Array(buffer, byteOffset, length)
    },
  }
}

const digest = Buffer.alloc(32)

/**
 * By way of a string: every buffer node makes costs memory of its own outside the heap, which for
 * the short inputs of the hash chain takes three times as long as hashing them.
 */
function sha256(data: Uint8Array): Uint8Array {
  digest.write(hash('sha256', data, 'binary'), 'binary')
  return plain(digest)
}

export const nodeCrypto: Crypto = {
  sha256,
  hmacSha256,
  hkdfExtract,
  hkdfExpand,
  signingKey,
  verifyKey,
  x25519: agreementKey,
  aead: aeadKey,
}
