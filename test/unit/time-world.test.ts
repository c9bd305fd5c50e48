import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { windowEnd } from '#window'
import { anyClocks, learningClocks, timeWorld, type TimeStep } from '../support/time-world.ts'

/** FOGMETER_LONG=20 plays twenty times as many histories. */
const numRuns = 30 * Number(process.env['FOGMETER_LONG'] ?? 1)

async function play(mode: 'live' | 'block', source: 'register' | 'power', steps: TimeStep[]) {
  const world = timeWorld(mode, source)
  for (const step of steps) await world.perform(step)
  return world.end()
}

const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0)

describe.each(['live', 'block'] as const)('%s mode', (mode) => {
  test('whatever the clocks do, each reading is in one window and the energy is exact', async () => {
    await fc.assert(
      fc.asyncProperty(anyClocks, async (steps) => {
        const { windows, gaps, truth, events } = await play(mode, 'register', steps)
        expect(sum(windows.map(({ readings }) => readings))).toBe(truth.length)
        const used = truth.at(-1)!.registerWh - truth[0]!.registerWh
        expect(sum(windows.map(({ importWh }) => importWh))).toBe(used)
        expect(events).not.toContain('not-summed-up')
        // What a summary counts as doubtful is listed, and nothing else.
        const listed = (kind: string) =>
          sum(gaps.filter((gap) => gap.kind === kind).map(({ readings }) => readings))
        expect(listed('time-estimated')).toBe(sum(windows.map(({ quality: q }) => q.estimated)))
        expect(listed('time-unknown')).toBe(sum(windows.map(({ quality: q }) => q.unknownTime)))
        expect(listed('substitute')).toBe(sum(windows.map(({ quality: q }) => q.substitute)))
      }),
      { numRuns },
    )
  })

  test('where each boot learns the time, each reading is in the window of its true time', async () => {
    await fc.assert(
      fc.asyncProperty(learningClocks, async (steps) => {
        const { windows, truth } = await play(mode, 'register', steps)
        const counts = new Map<number, number>()
        for (const { timeS } of truth) {
          const endS = windowEnd(timeS, 60)
          counts.set(endS, (counts.get(endS) ?? 0) + 1)
        }
        const found = new Map(windows.map(({ endS, readings }) => [endS, readings]))
        expect(found).toEqual(counts)
        expect(sum(windows.map(({ quality }) => quality.estimated + quality.unknownTime))).toBe(0)
      }),
      { numRuns },
    )
  })
})

test('integrated energy in the windows is what the register gained, whatever the clocks do', async () => {
  await fc.assert(
    fc.asyncProperty(anyClocks, async (steps) => {
      const { windows, meter } = await play('block', 'power', steps)
      expect(sum(windows.map(({ importWh }) => importWh))).toBe(meter.status().importWh)
    }),
    { numRuns },
  )
})
