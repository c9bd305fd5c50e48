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
      return settled((resolve, reject) => {
        engine.after(chance.between(1, 40), () =>
          life.run(() => {
            if (chance.happens(0.002)) reject(new Error('a verifying thread ended'))
            else resolve(key.verify(message, signature))
          }),
        )
      })
    },
  }
}

type Settle = (resolve: (good: boolean) => void, reject: (error: unknown) => void) => void

/** A promise whose answer comes as an event of the simulation instead of a turn of the real loop. */
function settled(settle: Settle): Promise<boolean> {
  const promise = { then: settle, catch: () => promise, finally: () => promise }
  return promise as unknown as Promise<boolean>
}
