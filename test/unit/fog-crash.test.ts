import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { anyHistory, memoryStorage, playHistory, type Step } from '../support/fog-world.ts'

/** FOGMETER_LONG=20 plays twenty times as many histories. */
const numRuns = 100 * Number(process.env['FOGMETER_LONG'] ?? 1)

test('whatever comes in whatever order, and whenever the node dies: nothing lost, nothing twice', async () => {
  await fc.assert(
    fc.asyncProperty(anyHistory, async (steps) => {
      const { signed, summedUp } = await playHistory(memoryStorage(), steps)
      expect(summedUp).toBe(signed)
    }),
    { numRuns },
  )
})

/** The meters' readings bear the same times: each brings another revision of the same window. */
const bring = (meter: number): Step[] => [
  { do: 'open', meter },
  { do: 'sign', meter, count: 3, skip: 0 },
  { do: 'report', meter, back: 0 },
  { do: 'verify', index: 0 },
  { do: 'tick', ms: 1_000 },
  { do: 'tick', ms: 200_000 },
]

test('a window revised before and after the node died: no revision comes twice', async () => {
  const storage = memoryStorage()
  const { signed, summedUp } = await playHistory(storage, [
    ...bring(0),
    ...bring(1),
    { do: 'crash' },
    ...bring(2),
  ])
  expect(summedUp).toBe(signed)
  const revisions = storage
    .items()
    .flatMap((item) => (item.type === 'summary' ? [item.summary.revision] : []))
  expect(revisions).toEqual([0, 1, 2])
})
