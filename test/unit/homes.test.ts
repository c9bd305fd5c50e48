import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  arrivalDelayS,
  homeOf,
  integrate,
  registersAt,
  simulate,
  type SimulationOptions,
} from '#household'
import { openSource } from '../../apps/meter/source.ts'
import type { Timeline } from '../../apps/meter/timeline.ts'

const DAY_S = 86_400
const startS = Date.UTC(2026, 0, 1) / 1_000
const june = { startS: Date.UTC(2026, 5, 21) / 1_000 }
const december = { startS: Date.UTC(2026, 11, 21) / 1_000 }
const seeds = Array.from({ length: 8 }, (_, i) => i + 1)

/** Mean powers of that many intervals. */
function powers(seed: number, count: number, options: Partial<SimulationOptions> = {}): number[] {
  const samples = simulate(seed, { startS, weatherSeed: 77, ...options })
  return Array.from({ length: count }, () => samples.next().value.powerW)
}

/** What one thing makes of the same home, interval by interval. */
function added(
  seed: number,
  count: number,
  thing: Partial<SimulationOptions>,
  common: Partial<SimulationOptions> = {},
): number[] {
  const without = powers(seed, count, common)
  return powers(seed, count, { ...common, ...thing }).map((power, i) => power - without[i]!)
}

const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0)
const mean = (values: readonly number[]) => sum(values) / values.length

const HALF_HOUR = { stepS: 1_800 }
const YEAR = 365 * 48
/** kWh of twelve months (of 365/12 days), from half hours. */
function months(halves: readonly number[]): number[] {
  const length = halves.length / 12
  return Array.from(
    { length: 12 },
    (_, month) => sum(halves.slice(month * length, (month + 1) * length)) / 2_000,
  )
}
/** Month by month, the mean of all homes. */
function yearOf(halvesOf: (seed: number) => number[]): {
  total: number
  winter: number
  summer: number
} {
  const all = seeds.map((seed) => months(halvesOf(seed)))
  const month = (at: number) => mean(all.map((one) => one[at]!))
  return {
    total: mean(all.map(sum)),
    winter: month(0) + month(1) + month(11),
    summer: month(5) + month(6) + month(7),
  }
}

describe('a year', () => {
  // Per household: the Netherlands 2,730 kWh (CBS, 2019), Germany 3,192 kWh (Destatis, 2020).
  test('of appliances: what statistics say, and a little more in winter', () => {
    const { total, winter, summer } = yearOf((seed) => powers(seed, YEAR, HALF_HOUR))
    expect(total).toBeGreaterThan(2_400)
    expect(total).toBeLessThan(3_400)
    expect(winter / summer).toBeGreaterThan(1.03)
    expect(winter / summer).toBeLessThan(1.5)
  })

  // 10,000 to 15,000 kWh of heat at a seasonal factor of 3.1 (Fraunhofer ISE, "WPsmart im Bestand", 2020).
  test('of a heat pump: most of it in winter', () => {
    const { total, winter, summer } = yearOf((seed) =>
      added(seed, YEAR, { heatPump: true }, HALF_HOUR),
    )
    expect(total).toBeGreaterThan(3_000)
    expect(total).toBeLessThan(5_000)
    expect(winter / summer).toBeGreaterThan(4)
    expect(winter / summer).toBeLessThan(12)
  })

  // 12,300 km (KBA, 2023) at about 20 kWh for 100 km from the wall (ADAC, Ecotest).
  test('of a car: a little more in winter', () => {
    const { total, winter, summer } = yearOf((seed) => added(seed, YEAR, { car: true }, HALF_HOUR))
    expect(total).toBeGreaterThan(1_900)
    expect(total).toBeLessThan(3_000)
    expect(winter / summer).toBeGreaterThan(1.02)
    expect(winter / summer).toBeLessThan(1.3)
  })

  // About 1,000 kWh for 1 kWp to the south at 51° to 53° north (PVGIS, JRC), less to east and west;
  // June to August about four times as much as December to February.
  test('of a roof: most of it in summer', () => {
    const roof = { solarPeakW: 1_000 }
    const { total, winter, summer } = yearOf((seed) => added(seed, YEAR, roof, HALF_HOUR))
    expect(-total).toBeGreaterThan(800)
    expect(-total).toBeLessThan(1_050)
    expect(summer / winter).toBeGreaterThan(3)
    expect(summer / winter).toBeLessThan(8)
  })
})

/** Minutes in which a roof gives something. */
function light(options: Partial<SimulationOptions>): number {
  const gives = added(5, 1_440, { solarPeakW: 100_000 }, options)
  return gives.filter((power) => power < 0).length
}

/** What a heat pump takes on each of sixty days. */
function daily(seed: number): number[] {
  const halves = added(seed, 60 * 48, { heatPump: true }, HALF_HOUR)
  return Array.from({ length: 60 }, (_, day) => sum(halves.slice(day * 48, (day + 1) * 48)))
}

/** What heat pumps take in January. */
function january(latitudeDeg: number): number {
  const place = { ...HALF_HOUR, latitudeDeg }
  return sum(seeds.flatMap((seed) => added(seed, 31 * 48, { heatPump: true }, place)))
}

describe('a day', () => {
  // Sunrise to sunset by the almanac is a quarter of an hour longer: light is bent, the sun is round.
  test.each([
    [52, 16.5, 7.5],
    [60, 18.5, 5.5],
    [0, 12, 12],
    [-34, 9.7, 14.3],
    [80, 24, 0],
  ])('at %i° has about %d hours in June and %d in December', (latitudeDeg, inJune, inDecember) => {
    expect(Math.abs(light({ ...june, latitudeDeg }) / 60 - inJune)).toBeLessThan(0.4)
    expect(Math.abs(light({ ...december, latitudeDeg }) / 60 - inDecember)).toBeLessThan(0.4)
  })

  test('a car comes home in the evening: it charges then and at night, within what its plug gives', () => {
    const days = 14
    const all = seeds.map((seed) => added(seed, days * 1_440, { car: true }))
    const inHours = (from: number, to: number) =>
      sum(
        all.flatMap((one) =>
          one.filter((_, minute) => minute % 1_440 >= from * 60 && minute % 1_440 < to * 60),
        ),
      )
    expect(inHours(15, 24) + inHours(0, 6)).toBeGreaterThan(0.85 * sum(all.flat()))
    expect(inHours(16, 24)).toBeGreaterThan(3 * inHours(6, 14))
    for (const one of all) {
      expect(one.every((power) => power >= 0 && power <= 11_000)).toBe(true)
      expect(one.some((power) => power >= 2_000)).toBe(true)
    }
  })

  test('a heat pump in the cold needs more than the cold alone explains', () => {
    // At 60° it is colder by 5 to 6 K: half as much heat again, at a worse factor.
    expect(january(60) / january(52)).toBeGreaterThan(1.6)
    expect(january(60) / january(52)).toBeLessThan(2.2)
  })

  test('a cold day costs a heat pump more than a mild one, in every home of the region', () => {
    const [one, ...others] = seeds.slice(0, 5).map(daily)
    const coldest = one!.indexOf(Math.max(...one!))
    const mildest = one!.indexOf(Math.min(...one!))
    for (const other of others) expect(other[coldest]).toBeGreaterThan(1.3 * other[mildest]!)
  })
})

describe('any home', () => {
  const options = fc.record({
    stepS: fc.constantFrom(1, 10, 60, 900, 3_600),
    startS: fc.integer({ min: 0, max: 2 ** 32 }),
    latitudeDeg: fc.integer({ min: -90, max: 90 }),
    solarPeakW: fc.constantFrom(0, 3_000, 15_000),
    heatPump: fc.boolean(),
    car: fc.boolean(),
    zoneOffsetS: fc.constantFrom(0, 3_600, -18_000),
  })
  const seed = fc.integer({ min: 0, max: 2 ** 31 - 1 })

  test('its registers are the sum of its powers, to the watt-second', () => {
    fc.assert(
      fc.property(seed, options, (home, settings) => {
        let registers = registersAt()
        let [importWs, exportWs] = [0, 0]
        let taken = 0
        for (const sample of simulate(home, settings)) {
          const { powerW } = sample
          expect(Number.isInteger(powerW) && !Object.is(powerW, -0)).toBe(true)
          registers = integrate(registers, powerW, settings.stepS)
          expect(sample.registers).toEqual(registers)
          if (powerW > 0) importWs += powerW * settings.stepS
          else exportWs -= powerW * settings.stepS
          if (++taken === 200) break
        }
        expect(registers.importWh * 3_600 + registers.importRestWs).toBe(importWs)
        expect(registers.exportWh * 3_600 + registers.exportRestWs).toBe(exportWs + 0)
      }),
      { numRuns: 60 },
    )
  })

  test('is the same for the same seed, and another for another', () => {
    fc.assert(
      fc.property(seed, options, (home, settings) => {
        expect(powers(home, 100, settings)).toEqual(powers(home, 100, settings))
        expect(powers(home, 100, settings)).not.toEqual(powers(home + 1, 100, settings))
      }),
      { numRuns: 30 },
    )
  })

  test('what is added takes nothing from the rest', () => {
    fc.assert(
      fc.property(seed, options, (home, settings) => {
        const base = { ...settings, car: false, solarPeakW: 0 }
        expect(added(home, 100, { car: true }, base).every((power) => power >= 0)).toBe(true)
        expect(added(home, 100, { solarPeakW: 5_000 }, base).every((power) => power <= 0)).toBe(
          true,
        )
      }),
      { numRuns: 30 },
    )
  })

  test('the step changes little about how much is used', () => {
    const all = { heatPump: true, car: true, solarPeakW: 4_000 }
    const used = (stepS: number) =>
      mean(seeds.map((each) => sum(powers(each, (14 * DAY_S) / stepS, { ...all, stepS })) * stepS))
    expect(Math.abs(used(60) / used(900) - 1)).toBeLessThan(0.05)
  })
})

const none = { solarPercent: 0, heatPumpPercent: 0, carPercent: 0 }
const homes = Array.from({ length: 5_000 }, (_, i) => i)

/** How many of a hundred homes have what `has` asks for. */
function shareOf(has: (home: ReturnType<typeof homeOf>) => boolean, shares: object): number {
  return homes.filter((each) => has(homeOf(each, 6_000, { ...none, ...shares }))).length / 50
}

describe('a fleet', () => {
  test.each([0, 20, 50, 100])('%i of a hundred homes have a thing', (percent) => {
    for (const share of [
      shareOf((home) => home.heatPump, { heatPumpPercent: percent }),
      shareOf((home) => home.car, { carPercent: percent }),
      shareOf((home) => home.solarPeakW === 6_000, { solarPercent: percent }),
    ]) {
      expect(Math.abs(share - percent)).toBeLessThanOrEqual(percent % 100 === 0 ? 0 : 2)
    }
  })

  test('a larger share adds to those that had it; one thing says nothing about another', () => {
    const at = (carPercent: number, heatPumpPercent: number) =>
      homes.map((each) => homeOf(each, 0, { ...none, carPercent, heatPumpPercent }))
    const [few, many] = [at(20, 50), at(60, 50)]
    expect(few.every(({ car }, i) => !car || many[i]!.car)).toBe(true)
    expect(few.map(({ heatPump }) => heatPump)).toEqual(many.map(({ heatPump }) => heatPump))
    const both = many.filter(({ car, heatPump }) => car && heatPump).length / homes.length
    expect(Math.abs(both - 0.3)).toBeLessThan(0.03)
  })

  test('readings arrive over the whole time given, and the same ones at the same moment', () => {
    const delays = homes.map((each) => arrivalDelayS(each, startS, 10))
    expect(delays.every((delay) => delay >= 0 && delay < 10)).toBe(true)
    for (let second = 0; second < 10; second++) {
      const share = delays.filter((delay) => Math.floor(delay) === second).length / homes.length
      expect(Math.abs(share - 0.1)).toBeLessThan(0.02)
    }
    expect(delays[7]).toBe(arrivalDelayS(7, startS, 10))
    expect(delays[7]).not.toBe(arrivalDelayS(7, startS + 10, 10))
    expect(arrivalDelayS(7, startS, 0)).toBe(0)
  })

  test('a meter waits for its own moment, and dates the reading as before', async () => {
    const awaited: number[] = []
    const timeline: Timeline = {
      anchorS: startS,
      nowS: () => startS,
      msUntil: (timeS) => (awaited.push(timeS), 0),
    }
    const config = {
      kind: 'sim', seed: 1, latitude: 52, solarPeakW: 5_000, solarPercent: 30, heatPumpPercent: 20,
      carPercent: 20, start: null, jitterSeconds: 20, intervalSeconds: 60, timeScale: 1,
    } as const // prettier-ignore
    const times = async (index: number) => {
      const source = openSource({
        config,
        index,
        timeline,
        clock: { now: () => startS * 1_000, monotonic: () => 0 },
        time: { known: () => true, boot: { id: 1, ageS: () => 5 } },
        newestTimeS: 0,
        input: process.stdin,
        signal: new AbortController().signal,
        onBadLine: () => undefined,
        log: { info: () => undefined, warn: () => undefined, debug: () => undefined },
        port: null,
      })
      const first = (await source.next()).value
      await source.return(undefined)
      return first?.timeS
    }
    const dated = [await times(0), await times(1), await times(2)]
    expect(dated).toEqual([startS + 60, startS + 60, startS + 60])
    expect(new Set(awaited).size).toBe(3)
    expect(awaited.every((timeS) => timeS >= startS + 60 && timeS < startS + 80)).toBe(true)
  })
})
