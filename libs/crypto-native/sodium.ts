/** Ed25519 and X25519 by libsodium, twice as fast as OpenSSL's and on raw keys, which need no import. */
import type sodiumNative from 'sodium-native'
import {
  assertLength,
  isStrictSignature,
  requireStrictKey,
  type AgreementKey,
  type Crypto,
  type SigningKey,
  type VerifyKey,
} from '#crypto'
import { CodedError } from '#errors'

type Sodium = typeof sodiumNative

export type Curves = Pick<Crypto, 'signingKey' | 'verifyKey' | 'x25519'>

export function sodiumCurves(sodium: Sodium): Curves {
  return {
    signingKey: (secret) => signingKey(sodium, secret),
    verifyKey: (publicKey) => verifyKey(sodium, publicKey),
    x25519: (secret) => agreementKey(sodium, secret),
  }
}

function signingKey(sodium: Sodium, secret: Uint8Array): SigningKey {
  assertLength('signing secret', secret, 32)
  const [publicKey, secretKey] = [new Uint8Array(32), new Uint8Array(64)]
  sodium.crypto_sign_seed_keypair(publicKey, secretKey, secret)
  return {
    publicKey,
    sign(message) {
      const signature = new Uint8Array(64)
      sodium.crypto_sign_detached(signature, message, secretKey)
      return signature
    },
  }
}

function verifyKey(sodium: Sodium, encoded: Uint8Array): VerifyKey {
  requireStrictKey(encoded)
  const own = Uint8Array.from(encoded)
  return {
    publicKey: Uint8Array.from(encoded),
    verify: (message, signature) =>
      isStrictSignature(signature) && sodium.crypto_sign_verify_detached(signature, message, own),
  }
}

function agreementKey(sodium: Sodium, secret: Uint8Array): AgreementKey {
  assertLength('agreement secret', secret, 32)
  const own = Uint8Array.from(secret)
  const publicKey = new Uint8Array(32)
  sodium.crypto_scalarmult_base(publicKey, own)
  return {
    publicKey,
    shared(peerPublic) {
      assertLength('peer public key', peerPublic, 32)
      const secretShared = new Uint8Array(32)
      try {
        sodium.crypto_scalarmult(secretShared, own, peerPublic)
      } catch {
        throw new CodedError('crypto/low-order', 'key agreement gave the all-zero secret')
      }
      return secretShared
    },
  }
}
