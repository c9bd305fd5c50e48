import { randomInt } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { mutations } from './mutations.ts'
import { hunt } from './report.ts'
import { runSeed } from './run.ts'

/** Seeds a planted bug may take; `npm run sim -- --mutations` says how many it did. */
const budget: Record<string, number> = {
  'ack-before-commit': 2,
  'window-not-persisted': 3,
  'receipt-wrong-session': 8,
  'good-block-refused': 4,
  'register-memory-lost': 5,
  'double-count-on-revision': 3,
  'number-reuse-after-restart': 3,
  'nonce-reuse': 2,
  'no-replay-window': 4,
  'outbox-number-reuse': 8,
  'given-up-forgotten': 12,
  'revision-not-incremented': 3,
  'register-of-another-meter': 3,
  'replay-skips-a-group': 3,
}

function forbidden(): never {
  throw new Error('time and chance come from the seed')
}

describe('simulation', () => {
  test('fresh seeds: nothing lost, nothing counted twice', { timeout: 120_000 }, async () => {
    const from = randomInt(1, 2 ** 31)
    for (let seed = from; seed < from + 5; seed++) {
      const { violations } = await runSeed(seed)
      expect(violations, `npm run sim -- --from ${seed} --seeds 1 --trace`).toEqual([])
    }
  })

  test('a seed replays to the same event', async () => {
    const digests = [await runSeed(13), await runSeed(13)].map(({ digest }) => digest)
    expect(digests[0]).toBe(digests[1])
    expect((await runSeed(22)).digest).not.toBe(digests[0])
  })

  test('no clock, timer or randomness of the machine is used', async () => {
    const real = { now: Date.now, random: Math.random, timeout: globalThis.setTimeout }
    try {
      Object.assign(Date, { now: forbidden })
      Object.assign(Math, { random: forbidden })
      Object.assign(globalThis, { setTimeout: forbidden })
      expect((await runSeed(13)).violations).toEqual([])
    } finally {
      Object.assign(Date, { now: real.now })
      Object.assign(Math, { random: real.random })
      Object.assign(globalThis, { setTimeout: real.timeout })
    }
  })

  /** Senders ignore what they never sent, so it takes a block on its way at the right moment. */
  test('finds receipt-too-far', { timeout: 120_000 }, async () => {
    const mutation = mutations.find(({ name }) => name === 'receipt-too-far')
    expect((await hunt(mutation!, 20, 6)).seeds).not.toBeNull()
  })

  test.each(Object.entries(budget))('finds %s', { timeout: 120_000 }, async (name, seeds) => {
    const mutation = mutations.find((candidate) => candidate.name === name)
    expect(mutation).toBeDefined()
    expect((await hunt(mutation!, 1, seeds)).seeds).not.toBeNull()
  })
})
