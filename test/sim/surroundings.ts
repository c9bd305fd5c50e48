import type { Identity } from '#channel'
import { CLOCK_SLACK_S, createTrust, judgingTime, type Trust } from '#credential'
import type { Crypto } from '#crypto'
import type { Clock } from '#ports'
import type { Chance } from './chance.ts'
import type { Engine } from './engine.ts'
import type { Mutation } from './mutation.ts'
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

/** How the programs judge credentials. */
export function trustOf(
  { crypto, people }: Pick<Surroundings, 'crypto' | 'people'>,
  clock: Clock,
  own: Identity,
): Trust {
  return createTrust({
    crypto,
    authorityKey: people.authorityKey,
    now: judgingTime(clock, own.credential),
    slackS: CLOCK_SLACK_S,
  })
}
