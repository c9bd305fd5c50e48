import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { anyHistory, memoryStorage, playHistory } from '../support/fog-world.ts'

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
