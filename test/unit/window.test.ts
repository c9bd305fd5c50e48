import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { encodeItem, type Summary } from '#messages'
import { status, type Reading } from '#reading'
import {
  createWindows,
  energyOf,
  newEnergyTrack,
  watermarkS,
  windowDefaults,
  windowEnd,
  type EnergyReading,
  type EnergyTrack,
  type WindowRow,
  type WindowSettings,
} from '#window'
import { emptyTotals, totalsLimits } from '../../libs/window/accumulator.ts'
import { encodeWindow, newWindow } from '../../libs/window/state.ts'
import { codeThrown } from '../support/coded.ts'
import { plainReading } from '../support/readings.ts'

const T0 = 1_767_225_600 // a multiple of 900

function energy(timeS: number, change: Partial<EnergyReading> = {}): EnergyReading {
  return { timeS, powerW: 100, voltageDv: 2300, importWh: 1, exportWh: 0, status: 0, ...change }
}

/** A fog and the cloud behind it, which keeps the highest revision of each window start. */
function setup(change: Partial<WindowSettings> = {}) {
  const windows = createWindows({ ...windowDefaults, ...change })
  const latest = new Map<number, Summary>()
  const receive = (summaries: Summary[]): Summary[] => {
    for (const summary of summaries) {
      const known = latest.get(summary.startS)
      if (known === undefined || summary.revision > known.revision) {
        latest.set(summary.startS, summary)
      }
    }
    return summaries
  }
  const add = (meter: number, readings: EnergyReading[], nowMs = 0) =>
    windows.add({ meter, readings, receivedS: T0, nowMs })
  const close = (nowMs = 0) => receive(windows.close(nowMs))
  const closeAll = () => receive(windows.closeAll())
  return { windows, latest, add, close, closeAll, receive }
}

/** A pending window of one meter, as a checkpoint holds it. */
function pendingRow(startS: number, readings: number): WindowRow {
  const totals = { ...emptyTotals(), meters: Uint8Array.of(1), firstReceivedS: T0, readings }
  const most = { powerSumW: readings * 10 ** 9, powerMinW: 10 ** 9, powerMaxW: 10 ** 9 }
  const window = { ...newWindow(startS, startS + 900, 0, false), pending: true }
  return { startS, state: encodeWindow({ ...window, totals: { ...totals, ...most } }) }
}

describe('withdrawal', () => {
  test('by a meter whose clock went back leaves its other readings a window of their own', () => {
    const { windows, add, closeAll } = setup()
    const [taken, kept] = [energy(T0 + 810), energy(T0 + 701)]
    add(7, [taken, energy(T0 + 1_000), kept])
    // As the log tells it: the next reading after the one withdrawn lies in the next window.
    windows.withdraw({
      meter: 7,
      readings: [taken],
      otherThroughS: 0,
      otherFromS: T0 + 1_000,
    })
    const summaries = closeAll().map(({ startS, endS, meters, readings }) => {
      return [startS - T0, endS - T0, meters, readings]
    })
    expect(summaries).toEqual([
      [0, 900, 1, 1],
      [900, 1800, 1, 1],
    ])
  })
})

describe('boundaries', () => {
  test.each([
    [T0 - 1, T0],
    [T0, T0],
    [T0 + 1, T0 + 900],
    [T0 + 899, T0 + 900],
    [T0 + 900, T0 + 900],
    [T0 + 901, T0 + 1800],
    [0, 900],
    [1, 900],
    [900, 900],
    [253_402_300_799, 253_402_300_800],
  ])('a reading stamped %i is in the window that ends at %i', (timeS, endS) => {
    expect(windowEnd(timeS, 900)).toBe(endS)
    const { add, closeAll } = setup()
    add(0, [energy(timeS)])
    expect(closeAll()).toMatchObject([{ startS: endS - 900, endS, readings: 1 }])
  })
})

describe('totals', () => {
  test('a summary holds exact sums of everything added', () => {
    const { add, closeAll } = setup()
    add(0, [energy(T0 + 60, { powerW: -500, voltageDv: null, importWh: 0, exportWh: 8 })])
    add(9, [energy(T0 + 60, { status: 1, voltageDv: 2288 }), energy(T0 + 120, { status: 2 | 4 })])
    expect(closeAll()).toEqual([
      {
        startS: T0,
        endS: T0 + 900,
        revision: 0,
        meters: 2,
        readings: 3,
        powerSumW: -300,
        powerMinW: -500,
        powerMaxW: 100,
        voltageSumDv: 4588,
        voltageCount: 2,
        voltageMinDv: 2288,
        voltageMaxDv: 2300,
        importWh: 2,
        exportWh: 8,
        quality: { estimated: 1, unknownTime: 1, substitute: 1 },
        firstReceivedS: T0,
      },
    ])
  })

  test('a window without any voltage is a message the cloud accepts', () => {
    const { add, closeAll } = setup()
    add(0, [energy(T0 + 60, { voltageDv: null })])
    const [summary] = closeAll()
    expect(() => encodeItem({ type: 'summary', summary: summary! })).not.toThrow()
  })

  test('an absurd energy is refused, not rounded', () => {
    const { add, closeAll } = setup()
    const absurd = energy(T0 + 60, { importWh: 2e9 })
    expect(add(0, [absurd, energy(T0 + 70)])).toEqual([absurd])
    expect(closeAll()).toMatchObject([{ readings: 1, importWh: 1 }])
  })
})

describe('watermark', () => {
  const YEAR_2100 = 4_102_444_800

  test.each<[string, number[], number | null]>([
    ['no meter', [], null],
    ['one meter', [T0], T0 - 120],
    ['two: the one behind', [T0, T0 + 300], T0 - 120],
    ['three: the middle one', [T0 + 300, T0, T0 + 60], T0 + 60 - 120],
    ['one of three in 2100', [T0, T0 + 60, YEAR_2100], T0 + 60 - 120],
    ['one of three in 1970', [T0, T0 + 60, 5], T0 - 120],
  ])('%s', (_, times, expected) => {
    expect(
      watermarkS(
        times.map((timeS) => ({ timeS, seenMs: 0 })),
        0,
        1000,
        120,
      ),
    ).toBe(expected)
  })

  test('silent meters have no say', () => {
    const progress = [
      { timeS: T0, seenMs: 0 },
      { timeS: T0 + 900, seenMs: 5000 },
    ]
    expect(watermarkS(progress, 5000, 5000, 0)).toBe(T0)
    expect(watermarkS(progress, 5001, 5000, 0)).toBe(T0 + 900)
  })

  test.each([
    ['2100', YEAR_2100],
    ['1970', 100],
  ])('one meter in %s neither closes nor stalls the windows of others', (_, strangeS) => {
    const { add, close } = setup()
    for (const meter of [0, 1, 2]) add(meter, [energy(T0 + 600)])
    add(3, [energy(strangeS)])
    const early = close(1)
    expect(early.filter((summary) => summary.startS === T0)).toEqual([])
    for (const meter of [0, 1, 2]) add(meter, [energy(T0 + 1020)], 2)
    expect(close(3).filter((summary) => summary.startS === T0)).toMatchObject([{ readings: 3 }])
  })

  test('one of two meters stuck in 1970 delays, but does not stall', () => {
    const { add, close } = setup()
    let issuedMs: number | null = null
    for (let second = 60; second < 7200 && issuedMs === null; second += 60) {
      add(0, [energy(T0 + second)], second * 1000)
      add(1, [energy(second)], second * 1000)
      const summaries = close(second * 1000)
      if (summaries.some(({ startS }) => startS === T0)) issuedMs = second * 1000
    }
    expect(issuedMs).toBe((900 + 900 + 120 + 180) * 1000)
  })

  test('a meter whose clock is unknown by its own word has no say', () => {
    const { add, windows, close } = setup()
    add(0, [energy(T0 + 60)])
    add(1, [energy(YEAR_2100, { status: 2 })])
    add(2, [energy(YEAR_2100, { status: 2 })])
    close(0)
    expect(windows.stats().watermarkS).toBe(T0 + 60 - 120)
  })

  test('the lone window in 2100 closes by itself while others go on', () => {
    const { add, close } = setup()
    const issued: number[] = []
    for (let second = 0; second <= 2400; second += 60) {
      for (const meter of [0, 1, 2]) add(meter, [energy(T0 + second)], second * 1000)
      if (second === 0) add(3, [energy(YEAR_2100)], 0)
      issued.push(...close(second * 1000).map(({ endS }) => endS))
    }
    expect(issued).toContain(YEAR_2100)
  })
})

describe('closing and revising', () => {
  test('closes when the watermark passes the end, not before', () => {
    const { add, close } = setup()
    add(0, [energy(T0 + 900)])
    expect(close(1)).toEqual([])
    add(0, [energy(T0 + 900 + 119)])
    expect(close(2)).toEqual([])
    add(0, [energy(T0 + 900 + 120)])
    expect(close(3)).toMatchObject([{ startS: T0, revision: 0, readings: 1 }])
    expect(close(4)).toEqual([])
  })

  test('closes when nothing comes any more', () => {
    const { add, close } = setup()
    add(0, [energy(T0 + 60)], 1000)
    expect(close(1000 + 179_999)).toEqual([])
    expect(close(1000 + 180_000)).toMatchObject([{ startS: T0, revision: 0 }])
  })

  test('a late reading makes one revision with full totals after a quiet moment', () => {
    const { add, close } = setup()
    add(0, [energy(T0 + 60), energy(T0 + 1020)], 0)
    expect(close(0)).toMatchObject([{ startS: T0, revision: 0, readings: 1 }])
    add(1, [energy(T0 + 120)], 1_000)
    add(1, [energy(T0 + 180)], 4_000)
    expect(close(8_000)).toEqual([])
    // A second revision waits 2^1 delays of 5 s after the last addition.
    expect(close(14_000)).toMatchObject([{ startS: T0, revision: 1, readings: 3, meters: 2 }])
    expect(close(60_000)).toEqual([])
  })

  test('revisions go on counting after a restart', () => {
    let { windows } = setup()
    const revisions: number[] = []
    for (let second = 1; second <= 4; second++) {
      windows.add({ meter: 0, readings: [energy(T0 + second)], receivedS: T0, nowMs: 0 })
      revisions.push(...windows.closeAll().map(({ revision }) => revision))
      const rows = windows.snapshot()
      windows = createWindows(windowDefaults)
      windows.restore(rows, 0)
    }
    expect(revisions).toEqual([0, 1, 2, 3])
  })

  test('a window first heard of when it is over waits for a quiet moment too', () => {
    const { add, close } = setup()
    add(0, [energy(T0 + 1020)], 0)
    close(0)
    add(1, [energy(T0 + 60)], 1_000)
    expect(close(5_999)).toEqual([])
    expect(close(6_000)).toMatchObject([{ startS: T0, revision: 0, readings: 1 }])
  })

  test('a steady trickle cannot put a revision off for ever, nor cause one each time', () => {
    const { add, close } = setup()
    add(0, [energy(T0 + 60), energy(T0 + 1020)], 0)
    close(0)
    const revisions: number[] = []
    for (let second = 1; second <= 3600; second += 1) {
      add(0, [energy(T0 + 1020 + second)], second * 1000)
      add(1, [energy(T0 + 120)], second * 1000)
      const found = close(second * 1000).filter(({ startS }) => startS === T0)
      revisions.push(...found.map(({ revision }) => revision))
    }
    expect(revisions.length).toBeGreaterThan(2)
    expect(revisions.length).toBeLessThan(8)
  })

  test('forgotten windows take no readings, so totals are never replaced by partial ones', () => {
    const { windows, add, close, closeAll } = setup()
    add(0, [energy(T0 + 60), energy(T0 + 1020)], 0)
    expect(close(0)).toHaveLength(1)
    windows.forgetThrough(T0 + 900)
    const late = energy(T0 + 120)
    expect(add(1, [late, energy(T0 + 1000)], 1)).toEqual([late])
    expect(closeAll()).toMatchObject([{ startS: T0 + 900, readings: 2 }])
    const again = setup()
    again.windows.restore(windows.snapshot(), 0)
    expect(again.add(1, [late], 1)).toEqual([late])
  })

  test('a clock in 2100 forgets nothing that was added to lately, and bars no later window', () => {
    const { windows, add, closeAll } = setup()
    add(0, [energy(T0 + 60)])
    closeAll()
    const in2100 = 4_102_444_800
    windows.forgetThrough(in2100, -1)
    expect(add(1, [energy(T0 + 120)], 1)).toEqual([])
    expect(closeAll()).toMatchObject([{ startS: T0, readings: 2, revision: 1 }])
    windows.forgetThrough(in2100)
    expect(add(1, [energy(T0 + 180)], 1)).toHaveLength(1)
    expect(add(1, [energy(T0 + 1000)], 1)).toEqual([])
  })

  test('what is not issued yet is not forgotten', () => {
    const { windows, add, closeAll } = setup()
    add(0, [energy(T0 + 60)])
    windows.forgetThrough(T0 + 900)
    add(0, [energy(T0 + 70)])
    expect(closeAll()).toMatchObject([{ startS: T0, readings: 2 }])
  })

  test('a meter inventing times cannot fill the memory', () => {
    const { add, windows } = setup({ maxWindows: 10 })
    const readings = Array.from({ length: 50 }, (_, i) => energy(T0 + 900 * i))
    expect(add(0, readings)).toHaveLength(40)
    expect(windows.stats().held).toBe(10)
  })
})

describe('fewer meters than may be shown', () => {
  test('stay withheld where the merged window would hold more than one may', () => {
    const { readings: limit } = totalsLimits
    for (const [extra, withheld] of [
      [0, 1],
      [1, 2],
    ] as const) {
      const { windows, closeAll } = setup({ minMeters: 2 })
      windows.restore([pendingRow(T0, limit - 5), pendingRow(T0 + 900, 5 + extra)], 0)
      expect(closeAll()).toEqual([])
      expect(windows.stats()).toMatchObject({ withheld, withheldReadings: limit + extra })
    }
  })

  test('are merged into the next window, whose start moves', () => {
    const { add, close } = setup({ minMeters: 3 })
    add(0, [energy(T0 + 60)])
    for (const meter of [0, 1, 2]) add(meter, [energy(T0 + 1000)])
    for (const meter of [0, 1, 2]) add(meter, [energy(T0 + 2000)])
    expect(close(0)).toMatchObject([
      { startS: T0, endS: T0 + 1800, meters: 3, readings: 4, importWh: 4 },
    ])
  })

  test('are withheld while no next window exists, and come out with it', () => {
    const { add, closeAll, windows } = setup({ minMeters: 2 })
    add(0, [energy(T0 + 60)])
    expect(closeAll()).toEqual([])
    expect(windows.stats()).toMatchObject({ withheld: 1, withheldReadings: 1 })
    add(0, [energy(T0 + 1000)])
    add(1, [energy(T0 + 1000)])
    expect(closeAll()).toMatchObject([{ startS: T0, endS: T0 + 1800, meters: 2, readings: 3 }])
  })

  test('never make a summary that overlaps an issued one', () => {
    const { add, closeAll, windows } = setup({ minMeters: 2 })
    for (const meter of [0, 1]) add(meter, [energy(T0 + 1000)])
    expect(closeAll()).toHaveLength(1)
    add(0, [energy(T0 + 60)])
    expect(closeAll()).toEqual([])
    expect(windows.stats().withheldReadings).toBe(1)
    add(1, [energy(T0 + 70)])
    expect(closeAll()).toMatchObject([{ startS: T0, endS: T0 + 900, meters: 2 }])
  })

  test('are not carried further than the limit', () => {
    const { add, closeAll } = setup({ minMeters: 2, maxMergeSeconds: 1800 })
    add(0, [energy(100)])
    for (const meter of [0, 1]) add(meter, [energy(T0 + 60)])
    expect(closeAll()).toMatchObject([{ startS: T0, endS: T0 + 900, readings: 2 }])
  })
})

/** One delivery: some readings of one meter, arriving at some moment. */
interface Delivery {
  meter: number
  readings: EnergyReading[]
  waitMs: number
  /** What happens after it. */
  after: 'nothing' | 'close' | 'save' | 'crash'
}

const anyDelivery: fc.Arbitrary<Delivery> = fc.record({
  meter: fc.nat(5),
  readings: fc.array(
    fc.record({
      // Mostly a few windows in any order; sometimes a wild clock.
      timeS: fc.oneof(
        { weight: 9, arbitrary: fc.integer({ min: T0, max: T0 + 5 * 900 }) },
        fc.constantFrom(0, 5_000, 4_102_444_800),
      ),
      powerW: fc.integer({ min: -5_000, max: 9_000 }),
      voltageDv: fc.option(fc.integer({ min: 2_100, max: 2_500 })),
      importWh: fc.nat(100),
      exportWh: fc.nat(100),
      status: fc.constantFrom(0, 1, 2, 4),
    }),
    { maxLength: 8 },
  ),
  waitMs: fc.constantFrom(0, 100, 6_000, 60_000, 200_000),
  after: fc.constantFrom('nothing', 'close', 'save', 'crash'),
})

/** Plays deliveries against windows with checkpoints; a crash goes back to the last one. */
function play(deliveries: Delivery[], settings: Partial<WindowSettings>) {
  const fog = setup(settings)
  let { windows } = fog
  const rows = new Map<number, WindowRow>()
  let unsaved: { delivery: Delivery; nowMs: number }[] = []
  let items: Summary[] = []
  let nowMs = 0
  const apply = ({ meter, readings }: Delivery, atMs: number) =>
    windows.add({ meter, readings, receivedS: T0, nowMs: atMs })
  const save = () => {
    const changes = windows.changes()
    for (const key of changes.removed) rows.delete(key)
    for (const row of changes.rows) rows.set(row.startS, row)
    expect([...rows.values()].toSorted((a, b) => a.startS - b.startS)).toEqual(windows.snapshot())
    windows.saved()
    fog.receive(items)
    items = []
    unsaved = []
  }
  const crash = () => {
    windows = createWindows({ ...windowDefaults, ...settings })
    windows.restore([...rows.values()], nowMs)
    items = []
    for (const { delivery } of unsaved) apply(delivery, nowMs)
  }
  for (const delivery of deliveries) {
    nowMs += delivery.waitMs
    apply(delivery, nowMs)
    unsaved.push({ delivery, nowMs })
    if (delivery.after === 'close') items.push(...windows.close(nowMs))
    if (delivery.after === 'save') save()
    if (delivery.after === 'crash') crash()
  }
  items.push(...windows.closeAll())
  save()
  return { latest: [...fog.latest.values()], stats: windows.stats() }
}

function sum(values: number[]): number {
  return values.reduce((a, b) => a + b, 0)
}

function all(deliveries: Delivery[]): EnergyReading[] {
  return deliveries.flatMap(({ readings }) => readings)
}

describe('whatever the order, lateness and crashes', () => {
  test('the latest revisions add up to all readings', () => {
    fc.assert(
      fc.property(fc.array(anyDelivery, { maxLength: 40 }), (deliveries) => {
        const { latest } = play(deliveries, {})
        const readings = all(deliveries)
        const volts = readings.flatMap(({ voltageDv }) => voltageDv ?? [])
        expect({
          readings: sum(latest.map((s) => s.readings)),
          importWh: sum(latest.map((s) => s.importWh)),
          exportWh: sum(latest.map((s) => s.exportWh)),
          powerSumW: sum(latest.map((s) => s.powerSumW)),
          voltageSumDv: sum(latest.map((s) => s.voltageSumDv)),
          unknownTime: sum(latest.map((s) => s.quality.unknownTime)),
        }).toEqual({
          readings: readings.length,
          importWh: sum(readings.map((r) => r.importWh)),
          exportWh: sum(readings.map((r) => r.exportWh)),
          powerSumW: sum(readings.map((r) => r.powerW)),
          voltageSumDv: sum(volts),
          unknownTime: readings.filter((r) => r.status === 2).length,
        })
      }),
      { numRuns: 300 },
    )
  })

  test('each window holds exactly the readings and meters stamped in it', () => {
    fc.assert(
      fc.property(fc.array(anyDelivery, { maxLength: 30 }), (deliveries) => {
        for (const { endS, readings, meters, powerMaxW } of play(deliveries, {}).latest) {
          const inside = deliveries.flatMap(({ meter, readings: list }) =>
            list
              .filter(({ timeS }) => windowEnd(timeS, 900) === endS)
              .map((reading) => ({ meter, reading })),
          )
          expect(readings).toBe(inside.length)
          expect(meters).toBe(new Set(inside.map(({ meter }) => meter)).size)
          expect(powerMaxW).toBe(Math.max(...inside.map(({ reading }) => reading.powerW)))
        }
      }),
      { numRuns: 200 },
    )
  })

  test('with a least number of meters: nothing small is shown, nothing overlaps, nothing is lost', () => {
    fc.assert(
      fc.property(
        fc.array(anyDelivery, { maxLength: 40 }),
        fc.integer({ min: 2, max: 5 }),
        (d, n) => {
          const { latest, stats } = play(d, { minMeters: n })
          const shown = sum(latest.map(({ readings }) => readings))
          expect(shown + stats.withheldReadings).toBe(all(d).length)
          const ordered = latest.toSorted((a, b) => a.startS - b.startS)
          for (const [i, summary] of ordered.entries()) {
            expect(summary.meters).toBeGreaterThanOrEqual(n)
            expect(summary.startS).toBeGreaterThanOrEqual(ordered[i - 1]?.endS ?? 0)
          }
        },
      ),
      { numRuns: 300 },
    )
  })

  test('a damaged row is refused with a code', () => {
    const { windows } = setup()
    for (const state of [new Uint8Array(0), Uint8Array.of(0x80), Uint8Array.of(0xff)]) {
      expect(codeThrown(() => windows.restore([{ startS: T0, state }], 0))).toBe('window/damaged')
    }
  })
})

/** Readings with the given import registers, one a minute. */
function minutely(values: number[], words: number[] = []): Reading[] {
  return values.map((importWh, i) => {
    const timeS = T0 + 60 * i
    return { ...plainReading, number: i + 1, timeS, importWh, status: words[i] ?? 0 }
  })
}

function run(values: number[], words: number[] = [], start = values[0]!) {
  const block = { startImportWh: start, startExportWh: 0, continuous: true }
  const result = energyOf(newEnergyTrack(), { ...block, readings: minutely(values, words) })
  return {
    energy: result.readings.map(({ importWh }) => importWh),
    events: result.events.map(({ code }) => code),
  }
}

describe('energy from registers', () => {
  test.each<[string, number[], number[], string[], number[]?]>([
    ['differences', [100, 107, 107, 120], [0, 7, 0, 13], []],
    ['zero for one reading', [5000, 0, 5009], [0, 0, 9], ['register-zero']],
    ['zero for two readings', [5000, 0, 0, 5009], [0, 0, 0, 9], ['register-zero']],
    ['an old value for one reading', [5000, 4100, 5003], [0, 0, 3], ['register-backwards']],
    [
      'a new register is believed after three readings and loses nothing',
      [5000, 0, 4, 9, 15],
      [0, 0, 0, 9, 6],
      ['register-zero', 'register-restarted'],
    ],
    ['an announced reset', [5000, 3, 10], [0, 0, 7], ['register-reset'], [0, status.registerReset]],
    [
      'a replaced meter, higher',
      [5000, 90_000, 90_010],
      [0, 0, 10],
      ['meter-replaced'],
      [0, status.meterReplaced],
    ],
    ['a replaced meter, not announced', [5000, 9e6, 9e6 + 10], [0, 0, 10], ['register-jump']],
    [
      'a rollover',
      [999_999_990, 999_999_999, 5, 12],
      [0, 9, 0, 7],
      ['register-reset'],
      [0, 0, status.registerReset],
    ],
    [
      'a flag without a change is still told',
      [100, 100],
      [0, 0],
      ['register-reset'],
      [0, status.registerReset],
    ],
    [
      'a register that goes on across its reset loses nothing',
      [100, 107, 112],
      [0, 7, 5],
      ['register-reset'],
      [0, status.registerReset | status.registerContinued],
    ],
    [
      'goes on, says the flag, but does not',
      [5000, 3, 10],
      [0, 0, 7],
      ['meter-replaced'],
      [0, status.meterReplaced | status.registerContinued],
    ],
    [
      'back after a lower value was believed: not the whole register',
      [5000, 0, 5, 10, 15, 5020],
      [0, 0, 0, 10, 5, 5],
      ['register-zero', 'register-restarted', 'register-returned'],
    ],
    [
      'past its old value step by step: a new register, counted throughout',
      [100, 10, 12, 14, 40, 70, 95, 110],
      [0, 0, 0, 4, 26, 30, 25, 15],
      ['register-backwards', 'register-restarted'],
    ],
  ])('%s', (_, values, expected, events, words) => {
    expect(run(values, words)).toEqual({ energy: expected, events })
  })

  test('a zero at the end of a block does not add the whole register in the next', () => {
    const parts = { startExportWh: 0, continuous: true }
    const before = minutely([5000, 0])
    const first = energyOf(newEnergyTrack(), { ...parts, startImportWh: 5000, readings: before })
    // The next block states 0 as its start register, truthfully.
    const next = energyOf(first.track, { ...parts, startImportWh: 0, readings: minutely([5004]) })
    expect(next.readings.map(({ importWh }) => importWh)).toEqual([4])
    // Without the remembered track the whole register would have been counted.
    const forgetful = energyOf(newEnergyTrack(), {
      ...parts,
      startImportWh: 0,
      readings: minutely([5004]),
    })
    expect(forgetful.readings[0]!.importWh).toBe(5004)
  })

  test('after missing blocks their energy is left out', () => {
    const track: EnergyTrack = {
      import: { baseWh: 100, low: null, left: null },
      export: { baseWh: 0, low: null, left: null },
    }
    const block = { startImportWh: 500, startExportWh: 0, continuous: false }
    const result = energyOf(track, { ...block, readings: minutely([507]) })
    expect(result.readings[0]!.importWh).toBe(7)
  })

  test('never negative, and exact for registers that only rise, however cut into blocks', () => {
    const steps = fc.array(fc.tuple(fc.nat(500), fc.boolean()), { minLength: 1, maxLength: 60 })
    fc.assert(
      fc.property(fc.nat(1e9), steps, (start, list) => {
        let track = newEnergyTrack()
        let registerWh = start
        let blockStart = start
        let total = 0
        let block: number[] = []
        for (const [index, [stepWh, cut]] of list.entries()) {
          registerWh += stepWh
          block.push(registerWh)
          if (!cut && index !== list.length - 1) continue
          const startParts = { startImportWh: blockStart, startExportWh: 0, continuous: true }
          const result = energyOf(track, { ...startParts, readings: minutely(block) })
          track = result.track
          total += result.readings.reduce((wh, { importWh }) => wh + importWh, 0)
          blockStart = registerWh
          block = []
        }
        expect(total).toBe(registerWh - start)
      }),
    )
  })

  test('arbitrary registers give no negative energy and no step above the limit', () => {
    const values = fc.array(fc.nat(3_000_000), { minLength: 1, maxLength: 40 })
    fc.assert(
      fc.property(values, (list) => {
        const { energy: found } = run(list)
        for (const value of found) {
          expect(value).toBeGreaterThanOrEqual(0)
          expect(value).toBeLessThanOrEqual(1_000_000)
        }
      }),
    )
  })
})
