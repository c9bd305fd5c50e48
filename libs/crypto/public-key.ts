import { ed25519 } from '@noble/curves/ed25519.js'
import { CodedError } from '#errors'
import { requireStrictKey } from './strict.ts'

/**
 * The full check of an Ed25519 public key: canonical, on the curve, of prime order. It costs a
 * scalar multiplication, so it is made once, when a credential is issued.
 * @throws crypto/bad-public-key
 */
export function checkPublicKey(publicKey: Uint8Array): void {
  requireStrictKey(publicKey)
  let primeOrder: boolean
  try {
    primeOrder = ed25519.Point.fromBytes(publicKey, false).isTorsionFree()
  } catch (error) {
    throw new CodedError('crypto/bad-public-key', 'public key is not a point of the curve', {
      cause: error,
    })
  }
  if (!primeOrder)
    throw new CodedError('crypto/bad-public-key', 'public key is not in the prime-order group')
}
