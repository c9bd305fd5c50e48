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
  let last: VerifyKey | null = null
  return {
    verify(publicKey, message, signature) {
      if (last === null || last.publicKey !== publicKey) last = crypto.verifyKey(publicKey)
      return Promise.resolve(last.verify(message, signature))
    },
  }
}
