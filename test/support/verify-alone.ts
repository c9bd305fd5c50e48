/** For a virtual machine: what noble says of a signature, its tables made when they are needed. */
import { ed25519 } from '@noble/curves/ed25519.js'

ed25519.Point.BASE.precompute(2)

export function verify(message: Uint8Array, signature: Uint8Array, key: Uint8Array): boolean {
  return ed25519.verify(signature, message, key, { zip215: false })
}
