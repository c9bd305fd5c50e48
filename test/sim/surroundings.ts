import type { Crypto } from '#crypto'
import type { Clock } from '#ports'
import type { Chance } from './chance.ts'
import type { Engine } from './engine.ts'
import type { Mutation } from './mutations.ts'
import type { People } from './people.ts'
import type { Plan } from './plan.ts'
import type { Truth } from './truth.ts'

/** What every part of one run shares. */
export interface Surroundings {
  engine: Engine
  chance: Chance
  plan: Plan
  truth: Truth
  people: People
  crypto: Crypto
  mutation: Mutation
}

const neverSetS = 1_735_689_600

/** The apps' rule of when a clock may judge validity periods. */
export function trustedSeconds(clock: Clock): { now(): number | null } {
  return {
    now: () => {
      const nowS = Math.floor(clock.now() / 1000)
      return nowS < neverSetS ? null : nowS
    },
  }
}
