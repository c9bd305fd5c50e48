import { expect, it } from 'vitest'
import { killCampaign } from '../chaos/kill.ts'
import { kinds } from '../chaos/recovery.ts'

// Longer: npm run chaos -- kill --kills 1000 --seed 7
const kills = Number(process.env['FOGMETER_KILLS'] ?? 25)
const seed = Number(process.env['FOGMETER_SEED'] ?? Math.floor(Math.random() * 2 ** 31))

it(`accounts for every reading after ${kills} SIGKILLs of every process (seed ${seed})`, async () => {
  const report = await killCampaign({ kills, seed })
  expect(report.problems).toEqual([])
  expect(report).toMatchObject({ lost: 0, duplicated: 0 })
  expect(report.accounted).toBe(report.sent)
  expect(report.sent).toBeGreaterThan(kills * 10)
  for (const kind of kinds)
    expect(report.recoveryMs[kind].length).toBeGreaterThanOrEqual(Math.floor(kills / 5))
}, 240_000)
