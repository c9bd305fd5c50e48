import { expect, it } from 'vitest'
import { movesCampaign } from '../chaos/moves.ts'

// Longer: npm run chaos -- moves --moves 20
const seed = Number(process.env['FOGMETER_SEED'] ?? Math.floor(Math.random() * 2 ** 31))

it(`counts once what two fog nodes, and a lost and a new disk, have both had (seed ${seed})`, async () => {
  const report = await movesCampaign(['disk', 'meters'], { seed, moves: 1 })
  expect(report.problems).toEqual([])
  expect(report).toMatchObject({ moves: 2, lost: 0, duplicated: 0, accounted: report.sent })
  // Both happened: readings were counted twice, and one of the two let go of them.
  expect(report.withdrawn).toBeGreaterThan(0)
  expect(report.events['counted-twice']).toBeGreaterThanOrEqual(2)
  expect(report.events['store-replaced']).toBe(1)
}, 400_000)

it(`a fog node between two clouds: together they have everything once (seed ${seed})`, async () => {
  const report = await movesCampaign(['clouds'], { seed, moves: 2 })
  expect(report.problems).toEqual([])
  expect(report).toMatchObject({ moves: 2, lost: 0, duplicated: 0, accounted: report.sent })
  // Each cloud knows that the other one has some.
  expect(report.events['gap']).toBeGreaterThan(0)
}, 400_000)
