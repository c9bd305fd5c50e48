import { expect, it } from 'vitest'
import { networkCampaign } from '../chaos/network.ts'

// Longer: npm run chaos -- network --seconds 60
const seconds = Number(process.env['FOGMETER_NETWORK_SECONDS'] ?? 1)
const seed = Number(process.env['FOGMETER_SEED'] ?? Math.floor(Math.random() * 2 ** 31))

it(`accounts for every reading after every fault of network and broker (seed ${seed})`, async () => {
  const report = await networkCampaign({ seed, seconds })
  expect(report.problems).toEqual([])
  expect(report).toMatchObject({ lost: 0, duplicated: 0, accounted: report.sent })
  const by = Object.fromEntries(report.scenarios.map((scenario) => [scenario.name, scenario]))
  expect(Object.keys(by)).toHaveLength(7)
  // The faults were real ones …
  const { counts } = by['three in ten chunks disturbed'] ?? {}
  expect(counts?.['chunks']).toBeGreaterThan(0)
  expect(
    ['delay', 'drop', 'reset', 'throttle', 'cut', 'corrupt'].reduce(
      (sum, kind) => sum + (counts?.[kind] ?? 0),
      0,
    ),
  ).toBeGreaterThan(0)
  // … and the neighbours did not stand still meanwhile.
  for (const { others } of report.scenarios) expect(others.receipt.readings).toBeGreaterThan(0)
}, 300_000)
