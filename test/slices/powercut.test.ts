import { expect, it } from 'vitest'
import { canTrace, powercutDrill } from '../chaos/powercut.ts'

// Longer: npm run chaos -- powercut --states 2000; with stores at synchronous=NORMAL: --normal
const states = Number(process.env['FOGMETER_POWERCUTS'] ?? 120)
const seed = Number(process.env['FOGMETER_SEED'] ?? Math.floor(Math.random() * 2 ** 31))

it.skipIf(!canTrace())(
  `holds what it promised on ${states} disks that lost power (seed ${seed}; needs strace)`,
  async () => {
    const { rows, withoutSyncs } = await powercutDrill({ states, seed, seconds: 4 })
    expect(rows.flatMap(({ problems }) => problems)).toEqual([])
    for (const { told, syncs, states: opened } of rows) {
      expect(opened).toBe(Math.ceil(states / 3))
      expect(told).toBeGreaterThan(5)
      expect(syncs).toBeGreaterThan(5)
    }
    // The same recording without the syncs of the WAL: a drill that finds nothing here finds nothing.
    const found = withoutSyncs.reduce((sum, { broken }) => sum + broken, 0)
    expect(found).toBeGreaterThan(states / 20)
  },
  120_000,
)
