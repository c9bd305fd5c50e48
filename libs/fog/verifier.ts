import type { Crypto, VerifyKey } from '#crypto'

/**
 * Checks signatures away from the commit path; implementations batch and run in parallel. Answers
 * may come in any order. A rejected promise means "could not be judged", never "bad".
 */
export interface Verifier {
  verify(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): Promise<boolean>
}

/** Verifies at once in the calling thread: tests, simulations, and places without threads. */
export function inlineVerifier(crypto: Pick<Crypto, 'verifyKey'>): Verifier {
  // A credential keeps its key's bytes in one array, so that array can stand for the prepared key.
  const keys = new WeakMap<Uint8Array, VerifyKey>()
  return {
    verify(publicKey, message, signature) {
      const key = keys.get(publicKey) ?? crypto.verifyKey(publicKey)
      keys.set(publicKey, key)
      return Promise.resolve(key.verify(message, signature))
    },
  }
}
