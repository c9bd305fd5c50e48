/** Raw keys of 32 bytes (RFC 8410) as node's key objects, and back. */
import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto'

type Curve = 'ed25519' | 'x25519'

/** A raw 32-byte secret as a KeyObject. */
export function privateKeyObject(curve: Curve, secret: Uint8Array): KeyObject {
  const input = { key: view(secret), format: 'raw-private', asymmetricKeyType: curve } as const
  return withoutTraces(() => createPrivateKey(input))
}

/** A raw 32-byte public key as a KeyObject. */
export function publicKeyObject(curve: Curve, raw: Uint8Array): KeyObject {
  const input = { key: view(raw), format: 'raw-public', asymmetricKeyType: curve } as const
  return withoutTraces(() => createPublicKey(input))
}

/** The 32 raw bytes of a public key, or of the public half of a private one. */
export function rawPublic(key: KeyObject): Uint8Array {
  const half = key.type === 'public' ? key : createPublicKey(key)
  return Uint8Array.from(half.export({ format: 'raw-public' }))
}

/** What node's types ask for; the same bytes. */
function view(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
}

/**
 * To see that its argument is not a key object already, node makes and catches four exceptions.
 * Noting where each of them came from costs three times as much as importing a key.
 */
function withoutTraces<T>(importKey: () => T): T {
  const { stackTraceLimit } = Error
  Error.stackTraceLimit = 0
  try {
    return importKey()
  } finally {
    Error.stackTraceLimit = stackTraceLimit
  }
}
