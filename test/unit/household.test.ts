import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import * as fc from 'fast-check'
import { afterAll, describe, expect, test } from 'vitest'
import { CodedError } from '#errors'
import {
  formatExcerpt,
  integrate,
  loadExcerpt,
  parseCsv,
  parseExcerpt,
  parseJsonLine,
  readCsv,
  registersAt,
  replayDay,
  simulate,
  type ExcerptDay,
  type SimulatedSample,
  type SimulationOptions,
} from '#household'
import { codeThrown, orRefused } from '../support/coded.ts'
import { sharedPath } from '../support/shared.ts'

/** The message of the CodedError that `action` throws. */
function messageThrown(action: () => unknown): string {
  try {
    action()
  } catch (error) {
    if (error instanceof CodedError) return error.message
    throw error
  }
  return 'nothing thrown'
}

function oneSample(powerW: number): ExcerptDay {
  return { date: '2026-01-01', samples: [{ minute: 5, powerW, voltageDv: 2300, currentMa: 9 }] }
}

describe('excerpt', async () => {
  const days = await loadExcerpt()

  test('holds more than twenty different whole days', () => {
    expect(days.length).toBeGreaterThanOrEqual(20)
    expect(new Set(days.map(({ date }) => date)).size).toBe(days.length)
    for (const { samples } of days) {
      expect(samples.length).toBeGreaterThanOrEqual(1430)
      const minutes = samples.map(({ minute }) => minute)
      expect(minutes).toEqual([...new Set(minutes)].toSorted((a, b) => a - b))
    }
  })

  test('shows missing rows as gaps', () => {
    // 2006-12-21 11:23 and 11:24 are empty in the source.
    const day = days.find(({ date }) => date === '2006-12-21')!
    const minutes = day.samples.map(({ minute }) => minute)
    expect(minutes).toHaveLength(1438)
    expect(minutes).not.toContain(11 * 60 + 23)
    expect(minutes).not.toContain(11 * 60 + 24)
  })

  test('stays within what the source states: 226.3 to 251.7 V', () => {
    const volts = days.flatMap(({ samples }) => samples.map(({ voltageDv }) => voltageDv))
    expect(volts.reduce((a, b) => Math.min(a, b))).toBeGreaterThanOrEqual(2263)
    expect(volts.reduce((a, b) => Math.max(a, b))).toBeLessThanOrEqual(2517)
  })

  test('different houses replay different days, and go on to the next', () => {
    const first = [...replayDay(days, 0)]
    expect(first).toEqual(days[0]!.samples)
    expect([...replayDay(days, 1)]).toEqual([...replayDay(days, 0, 1)])
    expect([...replayDay(days, days.length)]).toEqual(first)
    expect(codeThrown(() => [...replayDay(days, -1)])).toBe('household/no-day')
  })

  const source = sharedPath('data/uci-household-1min-2006-12-16_2007-01-19.csv.gz')

  test.skipIf(source === null)('is what the source file says (needs the shared data)', async () => {
    const byTime = new Map<number, number>()
    let count = 0
    let sumW = 0
    for await (const { timeS, powerW } of readCsv(source!)) {
      byTime.set(timeS!, powerW)
      count += 1
      sumW += powerW
    }
    // The check values published with that file.
    expect(count).toBe(47_955)
    expect((sumW / 60_000).toFixed(3)).toBe('1357.801')
    for (const { date, samples } of days) {
      const startS = Date.parse(`${date}T00:00:00Z`) / 1000
      for (const { minute, powerW } of samples) {
        expect(byTime.get(startS + 60 * minute)).toBe(powerW)
      }
    }
  })

  test('its text comes back the same', () => {
    const two = days.slice(3, 5)
    expect(parseExcerpt(formatExcerpt(two, ['a comment']))).toEqual(two)
  })

  test.each([
    ['empty', ''],
    ['no date', '1,2,3\n'],
    ['cut short', '@2006-12-17\n1,2,3\n'],
    ['a word among numbers', formatExcerpt([oneSample(1)], []).replace('1,2300,9', 'x,2300,9')],
  ])('refuses text that is %s', (_, text) => {
    expect(codeThrown(() => parseExcerpt(text))).toBe('household/bad-excerpt')
  })
})

describe('registers from power', () => {
  test('an hour at 1000 W is 1000 Wh, however it is cut', () => {
    const cuts = fc.array(fc.integer({ min: 1, max: 3600 }), { minLength: 1, maxLength: 50 })
    fc.assert(
      fc.property(cuts, fc.integer({ min: 1, max: 20_000 }), (durations, powerW) => {
        let registers = registersAt(7, 5)
        for (const durationS of durations) registers = integrate(registers, powerW, durationS)
        const energyWs = powerW * durations.reduce((a, b) => a + b, 0)
        expect(registers.importWh).toBe(7 + Math.floor(energyWs / 3600))
        expect(registers.importRestWs).toBe(energyWs % 3600)
        expect(registers.exportWh).toBe(5)
      }),
    )
  })

  test('import and export never mix', () => {
    let registers = registersAt()
    for (const powerW of [1000, -1000, 1000, -1000]) registers = integrate(registers, powerW, 1800)
    expect(registers).toEqual({ importWh: 1000, exportWh: 1000, importRestWs: 0, exportRestWs: 0 })
  })

  test('the excerpt integrates to its own energy without drift', async () => {
    const days = await loadExcerpt()
    let registers = registersAt()
    let sumW = 0
    for (const { powerW } of days.flatMap(({ samples }) => samples)) {
      registers = integrate(registers, powerW, 60)
      sumW += powerW
    }
    expect(registers.importWh * 3600 + registers.importRestWs).toBe(sumW * 60)
  })
})

describe('simulation', () => {
  const startS = 1_767_225_600
  const DAY = 1440

  function take(seed: number, count: number, options: Partial<SimulationOptions> = {}) {
    const samples: SimulatedSample[] = []
    for (const sample of simulate(seed, { startS, ...options })) {
      samples.push(sample)
      if (samples.length === count) break
    }
    return samples
  }

  test('is the same for the same seed and different for another', () => {
    expect(take(4, DAY)).toEqual(take(4, DAY))
    expect(take(4, DAY)).not.toEqual(take(5, DAY))
  })

  test('looks like a household: base load, peaks, more by day than at night', () => {
    const energies: number[] = []
    for (let seed = 1; seed <= 20; seed++) {
      const samples = take(seed, 3 * DAY)
      const powers = samples.map(({ powerW }) => powerW)
      expect(Math.min(...powers)).toBeGreaterThan(20)
      expect(Math.max(...powers)).toBeGreaterThan(1500)
      expect(Math.max(...powers)).toBeLessThan(12_000)
      energies.push(samples.at(-1)!.importWh / 3)
    }
    const mean = energies.reduce((a, b) => a + b, 0) / energies.length
    expect(mean).toBeGreaterThan(4_000)
    expect(mean).toBeLessThan(20_000)
    const houses = Array.from({ length: 20 }, (_, seed) => take(seed, DAY))
    const between = (from: number, to: number) =>
      houses.reduce((sum, s) => sum + s[to * 60]!.importWh - s[from * 60]!.importWh, 0)
    expect(between(17, 21)).toBeGreaterThan(2 * between(1, 5))
  })

  test('integrates exactly the power it reports, over days and restarts', () => {
    const samples = take(8, 2 * DAY, { stepS: 10, solarPeakW: 4_000 })
    let registers = registersAt()
    for (const sample of samples) {
      registers = integrate(registers, sample.powerW, 10)
      expect(sample.importWh).toBe(registers.importWh)
      expect(sample.exportWh).toBe(registers.exportWh)
    }
    const last = samples.at(-1)!
    const [after] = take(9, 1, { startS: last.timeS, registers: last.registers })
    const expected = integrate(last.registers, after!.powerW, 60)
    expect(after!.registers).toEqual(expected)
  })

  test('exports only with a solar roof, and only by daylight', () => {
    expect(take(3, DAY).at(-1)!.exportWh).toBe(0)
    const june = { startS: startS + 171 * 86_400, solarPeakW: 6_000 }
    const sunny = take(3, DAY, june)
    expect(sunny.at(-1)!.exportWh).toBeGreaterThan(5_000)
    const night = sunny.filter(({ timeS }) => (timeS - startS) % 86_400 < 3 * 3600)
    expect(night.every(({ powerW }) => powerW >= 0)).toBe(true)
    const shifted = take(3, DAY, { ...june, zoneOffsetS: 12 * 3600 })
    expect(shifted.slice(0, 120).some(({ powerW }) => powerW < 0)).toBe(true)
  })

  test('values fit a reading: integers, no minus zero, plausible voltage', () => {
    for (const s of take(6, DAY, { solarPeakW: 9_000 })) {
      for (const value of [s.powerW, s.voltageDv, s.currentMa, s.importWh, s.exportWh]) {
        expect(Number.isSafeInteger(value) && !Object.is(value, -0)).toBe(true)
      }
      expect(s.voltageDv).toBeGreaterThan(2_000)
      expect(s.voltageDv).toBeLessThan(2_600)
      expect(s.currentMa).toBeGreaterThanOrEqual(0)
    }
  })
})

describe('CSV', () => {
  test('reads the household file, gaps left out', () => {
    const text = [
      'time_local,active_power_kw,reactive_power_kvar,voltage_v,current_a,sub_metering_1_wh',
      '2006-12-16T17:24:00,4.216,0.418,234.84,18.4,0',
      '2006-12-16T17:25:00,,,,,',
      '2006-12-16T17:26:00,0.2,0,233.29,,0',
      '',
    ].join('\r\n')
    const rest = { importWh: null, exportWh: null }
    expect(parseCsv(text)).toEqual([
      { timeS: 1_166_289_840, powerW: 4216, voltageDv: 2348, currentMa: 18_400, ...rest },
      { timeS: 1_166_289_960, powerW: 200, voltageDv: 2333, currentMa: null, ...rest },
    ])
  })

  test('reads a generic file with registers, negative power and zones', () => {
    const text = [
      'time,power_w,import_kwh,export_wh',
      '2026-03-01T12:00:00+01:00,-431.4,1234.567,9',
      '1772362800,-0.3,1234.567,10',
    ].join('\n')
    expect(parseCsv(text)).toMatchObject([
      { timeS: 1_772_362_800, powerW: -431, importWh: 1_234_567, exportWh: 9 },
      { timeS: 1_772_362_800, powerW: 0, importWh: 1_234_567, exportWh: 10 },
    ])
  })

  test.each<[string, string, string, string]>([
    ['an unknown column', 'time,power_w,volts', '', 'line 1: column "volts" is unknown'],
    ['no time', 'power_w', '', 'line 1: a column time is missing'],
    ['no power', 'time,voltage_v', '', 'line 1: a column power_w or power_kw is missing'],
    ['W and kW together', 'time,power_w,power_kw', '', 'line 1: column power_kw gives powerW'],
    ['Wh and kWh together', 'time,power_w,import_wh,import_kwh', '', 'import_kwh gives importWh'],
    ['a word', 'time,power_w', '0,many', 'line 2, column power_w: "many" is not a number'],
    ['hexadecimal', 'time,power_w', '0,0x10', 'line 2, column power_w'],
    ['a missing column', 'time,power_w', '0', 'line 2: 1 columns instead of 2'],
    ['a bad time', 'time,power_w', 'noon,5', 'line 2, column time: "noon" is not an ISO time'],
    ['an impossible date', 'time,power_w', '2026-13-01T00:00,5', 'line 2, column time'],
    ['a day no month has', 'time,power_w', '2026-02-30T00:00,5', 'is not a date'],
    ['milliseconds', 'time,power_w', '1772362800000,5', 'milliseconds?'],
    ['a negative voltage', 'time,power_w,voltage_v', '0,5,-1', 'line 2, column voltage_v'],
    ['an absurd value', 'time,power_w', '0,1e30', 'line 2, column power_w: 1e+30 is out of range'],
  ])('names line and column: %s', (_, header, line, message) => {
    expect(messageThrown(() => parseCsv(`${header}\n${line}`))).toContain(message)
  })

  const folder = mkdtempSync(join(tmpdir(), 'fogmeter-household-'))
  afterAll(() => rmSync(folder, { recursive: true }))

  async function collect(name: string): Promise<number[]> {
    const powers: number[] = []
    for await (const { powerW } of readCsv(join(folder, name))) powers.push(powerW)
    return powers
  }

  test('reads files, plain and gzipped', async () => {
    const text = 'time,power_w\n0,5\n60,6\n'
    writeFileSync(join(folder, 'a.csv'), text)
    writeFileSync(join(folder, 'a.csv.gz'), gzipSync(text))
    expect(await collect('a.csv')).toEqual([5, 6])
    expect(await collect('a.csv.gz')).toEqual([5, 6])
  })

  test('a file that is missing, broken or empty gives a coded error', async () => {
    writeFileSync(join(folder, 'empty.csv'), '')
    writeFileSync(join(folder, 'broken.csv.gz'), 'not gzip')
    writeFileSync(join(folder, 'bad.csv'), 'time,power_w\n0,5\n1,x\n')
    writeFileSync(join(folder, 'back.csv'), 'time,power_w\n0,5\n60,5\n60,6\n59,5\n120,5\n')
    const codes: Record<string, string> = {
      'none.csv': 'household/no-file',
      'none.csv.gz': 'household/no-file',
      'broken.csv.gz': 'household/no-file',
      'empty.csv': 'household/bad-header',
      'bad.csv': 'household/bad-value',
      // Half a minute that comes twice would count twice.
      'back.csv': 'household/out-of-order',
    }
    for (const [name, code] of Object.entries(codes)) {
      const message = expect.stringContaining(name) as string
      await expect(collect(name)).rejects.toMatchObject({ code, message })
    }
  })
})

function names() {
  return fc.constantFrom('power_w', 'power_kw', 'voltage_v', 'import_kwh', 'time')
}

function values() {
  return fc.oneof(fc.double(), fc.integer(), fc.string(), fc.constant(null))
}

function toLine(object: object): string {
  return JSON.stringify(object)
}

describe('JSON lines', () => {
  test.each<[string, string, object]>([
    ['power alone', '{"power_w":431.4}', { timeS: null, powerW: 431, importWh: null }],
    ['kW', '{"power_kw":0.4314}', { powerW: 431 }],
    ['export', '{"power_w":-12,"export_wh":7}', { powerW: -12, exportWh: 7 }],
    ['kWh', '{"power_w":1,"import_kwh":1234.567}', { importWh: 1_234_567 }],
    [
      'volts and amperes',
      '{"power_w":1,"voltage_v":229.84,"current_a":1.8765}',
      {
        voltageDv: 2298,
        currentMa: 1877,
      },
    ],
    ['null for not measured', '{"power_w":1,"voltage_v":null}', { voltageDv: null }],
    ['ISO time', '{"power_w":1,"time":"2026-03-01T12:00:00.5Z"}', { timeS: 1_772_366_400 }],
    ['epoch', '{"power_w":1,"time":1772366400.9}', { timeS: 1_772_366_400 }],
  ])('%s', (_, line, expected) => {
    expect(parseJsonLine(line)).toMatchObject(expected)
  })

  test('an empty line is no reading', () => {
    expect(parseJsonLine('  ')).toBeNull()
    expect(parseJsonLine('\uFEFF{"power_w":7}')).toMatchObject({ powerW: 7 })
    expect(codeThrown(() => parseJsonLine('\uFEFF{"power_w":7}', 2))).toBe('household/bad-json')
  })

  test.each<[string, string, string]>([
    ['{"power_w":1,"power_kw":1}', 'household/bad-value', 'field power_kw: power_w gives the same'],
    ['{"power_w":1,"import_wh":1,"import_kwh":1}', 'household/bad-value', 'field import_kwh'],
    ['{"power_w":"1"}', 'household/bad-value', 'field power_w: "1" is not a number'],
    ['{"power_w":null}', 'household/bad-value', 'field power_w'],
    ['{"power_w":1e300}', 'household/bad-value', 'field power_w'],
    ['{"voltage_v":230}', 'household/no-power', 'power_w or power_kw is missing'],
    [
      '{"power_w":1,"time_quality":"good"}',
      'household/bad-value',
      'one of synchronised, estimated',
    ],
    ['{"power_w":1,"replaced":1}', 'household/bad-value', 'field replaced'],
    ['{"power_w":1,"volt":230}', 'household/unknown-field', 'field volt is unknown'],
    ['{"power_w":1,"__proto__":2}', 'household/unknown-field', 'field __proto__'],
    ['{"power_w":1,"constructor":2}', 'household/unknown-field', 'field constructor'],
    ['{"power_w":1,"time":"2026-03-01T12:00:00"}', 'household/bad-value', 'field time'],
    ['{"power_w":1,"time":1772366400000}', 'household/bad-value', 'milliseconds?'],
    ['{"power_w":1,"time":true}', 'household/bad-value', 'field time'],
    ['{"power_w":1,"current_a":-2}', 'household/bad-value', 'field current_a'],
    ['[1]', 'household/bad-json', 'not a JSON object'],
    ['{power_w:1}', 'household/bad-json', 'not JSON'],
  ])('%s is refused', (line, code, message) => {
    expect(codeThrown(() => parseJsonLine(line, 12))).toBe(code)
    const text = messageThrown(() => parseJsonLine(line, 12))
    expect(text).toContain('line 12')
    expect(text).toContain(message)
  })

  test('whatever comes in, only coded errors come out, and integers', () => {
    const line = fc.oneof(fc.string(), fc.json(), fc.dictionary(names(), values()).map(toLine))
    fc.assert(
      fc.property(line, (text) => {
        const reading = orRefused(() => parseJsonLine(text))
        for (const value of Object.values(reading ?? {})) {
          expect(value === null || Number.isSafeInteger(value)).toBe(true)
        }
      }),
      { numRuns: 500 },
    )
  })
})
