import type { VerifyKey } from '#crypto'
import type { Verifier } from '#fog'
import type { Life } from './supervisor.ts'
import type { Surroundings } from './surroundings.ts'

/** A pool of verifying threads: answers come later, in any order, now and then not at all. */
export function simVerifier(surroundings: Surroundings, life: Life): Verifier {
  const { crypto, engine, chance } = surroundings
  const keys = new WeakMap<Uint8Array, VerifyKey>()
  return {
    verify(publicKey, message, signature) {
      const key = keys.get(publicKey) ?? crypto.verifyKey(publicKey)
      keys.set(publicKey, key)
      return new Promise((resolve, reject) => {
        engine.after(chance.between(1, 40), () =>
          life.run(() => {
            engine.settled()
            if (chance.happens(0.002)) reject(new Error('a verifying thread ended'))
            else resolve(key.verify(message, signature))
          }),
        )
      })
    },
  }
}
