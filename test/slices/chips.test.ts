import { expect, it } from 'vitest'
import { chipsDrill } from '../chaos/chips.ts'

// Longer: npm run chaos -- chips --chips 100 --hours 168
const chips = Number(process.env['FOGMETER_CHIPS'] ?? 6)
const hours = Number(process.env['FOGMETER_CHIP_HOURS'] ?? 8)
const seed = Number(process.env['FOGMETER_SEED'] ?? Math.floor(Math.random() * 2 ** 31))

it(`loses nothing on ${chips} chips in ${hours} h of brown-outs (seed ${seed})`, async () => {
  const result = await chipsDrill({ seed, chips, hours, sectors: 12, cutEveryHours: 2 })
  expect(result.account.problems).toEqual([])
  expect(result.cuts).toBeGreaterThan(chips)
  expect(result.inWrites).toBeGreaterThan(0)
  // One reading a minute, less what the power cuts took.
  expect(result.account.readings).toBeGreaterThan(chips * hours * 30)
}, 300_000)

it(`finds a flash that forgets what it was told (seed ${seed})`, async () => {
  const result = await chipsDrill({
    seed,
    chips: 1,
    hours: 4,
    sectors: 12,
    cutEveryHours: 2,
    onDevice({ flash }) {
      const program = flash.program.bind(flash)
      let writes = 0
      // Every fortieth write is acknowledged and lost.
      flash.program = (at, bytes) => {
        writes += 1
        if (writes % 40 !== 0) program(at, bytes)
      }
    },
  })
  expect(result.account.problems).not.toEqual([])
}, 300_000)
