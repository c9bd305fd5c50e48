import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { CodedError, codeOf } from '#errors'
import {
  blocksOf,
  findSdm,
  findSunspec,
  numberFrom,
  readDevice,
  scaleFrom,
  type NumberType,
  type ReadRegisters,
  type Row,
} from '#modbus'
import { whole } from '#telegram'
import { codeThrown } from '../support/coded.ts'
import {
  commonModel,
  floatWords,
  meterModel,
  modbusDevice,
  sdmInputs,
  sunspecMap,
  wordsAt,
  type Registers,
} from '../support/modbus.ts'

const wh = { unit: 'Wh', exponent: 0, limit: 1e12, fraction: 'floor' } as const

/** A register in float kWh as whole Wh. */
function whOf(kWh: number): number {
  const { mantissa, exponent } = numberFrom(floatWords(kWh), 'float32')!
  return whole({ mantissa, exponent: exponent + 3 }, wh)!
}

/** A device that has these registers and nothing else; `requests` says what it was asked. */
function asking(registers: Partial<Registers>): { read: ReadRegisters; requests: string[] } {
  const device = modbusDevice(registers)
  const requests: string[] = []
  return {
    requests,
    read(table, first, count) {
      requests.push(`${table} ${first}+${count}`)
      const words = Array.from({ length: count }, (_, i) => device[table].get(first + i))
      const there = words.filter((word) => word !== undefined)
      if (there.length === count) return Promise.resolve(there)
      return Promise.reject(new CodedError('modbus/refused', `nothing at ${first}`))
    },
  }
}

describe('numbers', () => {
  test.each<[NumberType, number[], bigint | null]>([
    ['int16', [0x7fff], 32_767n],
    ['int16', [0xffff], -1n],
    ['int16', [0x8001], -32_767n],
    ['int16', [0x8000], null],
    ['uint16', [0xfffe], 65_534n],
    ['uint16', [0xffff], null],
    ['int32', [0xffff, 0xfffe], -2n],
    ['int32', [0x8000, 0], null],
    ['uint32', [0x0001, 0x0002], 65_538n],
    ['uint32', [0xffff, 0xffff], null],
    ['int64', [0xffff, 0xffff, 0xffff, 0xfffd], -3n],
    ['int64', [0x8000, 0, 0, 0], null],
    ['uint64', [0x7fff, 0xffff, 0xffff, 0xffff], 9_223_372_036_854_775_807n],
    ['uint64', [0xffff, 0xffff, 0xffff, 0xffff], null],
    ['acc32', [0, 0], 0n],
    ['acc32', [0xffff, 0xffff], 4_294_967_295n],
  ])('%s %j', (type, words, expected) => {
    expect(numberFrom(words, type)?.mantissa ?? null).toBe(expected)
  })

  test.each([
    [0, 0],
    [0xfffe, -2],
    [10, 10],
    [0xfff6, -10],
    [11, null],
    [0x8000, null],
    [0xffff, -1],
  ])('a scale factor of %i is %j', (word, expected) => {
    expect(scaleFrom(word)).toBe(expected)
  })

  test.each([
    ['no number', 0x7fc0, 0],
    ['another that is none', 0xff80, 1],
    ['infinite', 0x7f80, 0],
    ['infinite below zero', 0xff80, 0],
  ])('a float that is %s is absent', (_, high, low) => {
    expect(numberFrom([high, low], 'float32')).toBeNull()
  })

  test('a float is the decimal it was made of, up to seven digits', () => {
    const decimals = fc.tuple(fc.integer({ min: 1, max: 999_999 }), fc.integer({ min: 0, max: 3 }))
    fc.assert(
      fc.property(decimals, fc.boolean(), ([digits, places], below) => {
        const shown = ((below ? -1 : 1) * digits) / 10 ** places
        const { mantissa, exponent } = numberFrom(floatWords(shown), 'float32')!
        expect(Number(`${mantissa}e${exponent}`)).toBe(shown)
      }),
    )
  })

  test('a register in float kWh never goes back while its float does not', () => {
    const registers = fc.float({ min: 0, max: 999_999, noNaN: true })
    fc.assert(
      fc.property(registers, registers, (a, b) => {
        const [less, more] = [Math.min(a, b), Math.max(a, b)]
        expect(whOf(less)).toBeLessThanOrEqual(whOf(more))
      }),
    )
    // Cutting the float itself would lose a Wh: it is 1234.5699462890625.
    expect(Math.fround(1_234.57) * 1_000).toBeLessThan(1_234_570)
    expect(whOf(1_234.57)).toBe(1_234_570)
  })

  test('any words: an exact number or none', () => {
    const word = fc.integer({ min: 0, max: 0xffff })
    fc.assert(
      fc.property(word, word, (high, low) => {
        const value = numberFrom([high, low], 'float32')
        if (value === null) return
        const view = new DataView(new ArrayBuffer(4))
        view.setUint32(0, high * 0x1_0000 + low)
        const float = view.getFloat32(0)
        const back = Math.fround(Number(`${value.mantissa}e${value.exponent}`))
        expect(Math.abs(float) < 1e-9 ? 0 : float).toBe(back)
      }),
    )
  })
})

const row = (register: number, more: Partial<Row> = {}): Row => ({
  table: 'input',
  register,
  type: 'int16',
  code: '1-0:16.7.0',
  unit: 'W',
  ...more,
})

describe('requests', () => {
  test('neighbours together, a scale factor with its value, nothing nobody asks for', () => {
    expect(
      blocksOf([
        row(10),
        row(8, { type: 'float32' }),
        row(20, { scaleRegister: 25 }),
        row(5, { table: 'holding', scaleRegister: 2 }),
        row(22),
      ]),
    ).toEqual([
      { table: 'holding', first: 2, count: 4 },
      { table: 'input', first: 8, count: 3 },
      { table: 'input', first: 20, count: 6 },
    ])
  })

  test('not more at once than a meter gives', () => {
    const rows = Array.from({ length: 100 }, (_, i) => row(2 * i, { type: 'float32' }))
    const blocks = blocksOf(rows)
    expect(blocks.map(({ count }) => count)).toEqual([60, 60, 60, 20])
  })

  test.each([
    [row(100, { scaleRegister: 225 })],
    [row(65_535, { type: 'float32' })],
    [row(65_533, { type: 'int64' })],
  ])('a row no request can hold', (bad) => {
    expect(codeThrown(() => blocksOf([bad]))).toBe('modbus/bad-table')
  })

  test('every row is in a block, and no block is too long', () => {
    const rows = fc.array(
      fc.record({
        register: fc.integer({ min: 0, max: 300 }),
        type: fc.constantFrom('int16', 'float32', 'int64'),
      }),
      { minLength: 1 },
    )
    fc.assert(
      fc.property(rows, (places) => {
        const blocks = blocksOf(
          places.map(({ register, type }) => row(register, { type: type as NumberType })),
        )
        for (const { register, type } of places) {
          const end = register + { int16: 1, float32: 2, int64: 4 }[type]
          expect(blocks.some(({ first, count }) => first <= register && end <= first + count)).toBe(
            true,
          )
        }
        expect(blocks.every(({ count }) => count <= 60)).toBe(true)
      }),
    )
  })
})

/** Eastron, "SDM630-Modbus V2" §1.2: 3X numbers. */
const threePhases = {
  30_001: 230.1, // volts L1, L2, L3 to neutral
  30_003: 231.4,
  30_005: 229.96,
  30_007: 1.5, // amperes
  30_009: 0.25,
  30_011: 10.05,
  30_013: 345.4, // watts
  30_015: -57.5,
  30_017: 2_310.9,
  30_053: 2_598.8, // total system power
  30_073: 1_234.57, // import, export in kWh
  30_075: 0.4,
}

describe('Eastron', () => {
  const serial = wordsAt([0xfc00, 0x0123, 0x4567])

  test('three phases: what the document lists', async () => {
    const { read, requests } = asking({ input: sdmInputs(threePhases), holding: serial })
    const telegram = await readDevice(read, await findSdm(read, 'sdm630'))
    expect(telegram).toMatchObject({
      maker: 'Eastron',
      meterId: '19088743',
      powerW: 2_599,
      phasePowerW: [345, -58, 2_311],
      voltageDv: [2_301, 2_314, 2_300],
      currentMa: [1_500, 250, 10_050],
      importWh: 1_234_570,
      exportWh: 400,
      checked: true,
      unread: [],
    })
    // Nothing between: what a model does not have reads as zero.
    expect(requests).toEqual(['holding 64512+2', 'input 0+18', 'input 52+2', 'input 72+4'])
  })

  test('one phase: never asks for a total it does not have; a serial number is no condition', async () => {
    const input = sdmInputs({
      30_001: 233,
      30_007: 4.4,
      30_013: -1_020.5,
      30_073: 12,
      30_075: 999.99,
    })
    const { read } = asking({ input })
    expect(await readDevice(read, await findSdm(read, 'sdm120'))).toMatchObject({
      meterId: null,
      powerW: -1_021,
      phasePowerW: [null, null, null],
      voltageDv: [2_330, null, null],
      importWh: 12_000,
      exportWh: 999_990,
    })
  })

  test('what is no number is absent, and never 0', async () => {
    const input = sdmInputs({
      ...threePhases,
      30_003: NaN,
      30_053: NaN,
      30_073: NaN,
      30_075: Infinity,
    })
    const { read } = asking({ input, holding: serial })
    const telegram = await readDevice(read, await findSdm(read, 'sdm630'))
    expect(telegram).toMatchObject({
      voltageDv: [2_301, null, 2_300],
      importWh: null,
      exportWh: null,
      // The phases' sum: that of the decimals, rounded once.
      powerW: 2_599,
    })
    input.set(12, 0x7fc0)
    expect((await readDevice(read, await findSdm(read, 'sdm630'))).powerW).toBeNull()
  })

  test('what no meter can mean is named and not used', async () => {
    const input = sdmInputs({ ...threePhases, 30_073: -1, 30_001: 1e30 })
    const { read } = asking({ input, holding: serial })
    const telegram = await readDevice(read, await findSdm(read, 'sdm630'))
    expect(telegram).toMatchObject({ importWh: null, voltageDv: [null, 2_314, 2_300] })
    expect(telegram.unread.map(({ what }) => what)).toEqual(['1-0:32.7.0', '1-0:1.8.0'])
  })
})

const integerMeter = {
  AphA: 152, AphB: 33, AphC: -1_005, A_SF: -2,
  PhVphA: 2_301, PhVphB: 2_314, PhVphC: 2_299, V_SF: -1,
  W: -1_234, WphA: 100, WphB: -34, WphC: -1_300, W_SF: 1,
  TotWhExp: 305_419_896, TotWhImp: 123_456, TotWh_SF: -1,
} // prettier-ignore
const common = commonModel('Fronius', 'Smart Meter TS 65A-3', '4711')
const inverter = [103, 50, ...Array.from({ length: 50 }, () => 0xffff)]

describe('SunSpec', () => {
  test.each([40_000, 50_000, 0])('found at %i, behind other models', async (base) => {
    const holding = sunspecMap(base, common, inverter, meterModel(203, integerMeter))
    const { read } = asking({ holding })
    expect(await readDevice(read, await findSunspec(read))).toMatchObject({
      maker: 'Fronius Smart Meter TS 65A-3',
      meterId: '4711',
      powerW: -12_340,
      phasePowerW: [1_000, -340, -13_000],
      voltageDv: [2_301, 2_314, 2_299],
      currentMa: [1_520, 330, 10_050],
      exportWh: 30_541_989,
      importWh: 12_345,
      unread: [],
    })
  })

  test.each([201, 202, 203, 204])('model %i', async (id) => {
    const { read } = asking({ holding: sunspecMap(40_000, common, meterModel(id, integerMeter)) })
    expect(await readDevice(read, await findSunspec(read))).toMatchObject({ powerW: -12_340 })
  })

  test.each([211, 212, 213, 214])('model %i, in floats', async (id) => {
    const values = {
      AphA: 1.52, PhVphA: 230.1, PhVphC: 229.96, W: -345.5, WphA: -345.5,
      TotWhExp: 1_234_567, TotWhImp: 8_765_432,
    } // prettier-ignore
    const { read } = asking({ holding: sunspecMap(40_000, common, meterModel(id, values)) })
    expect(await readDevice(read, await findSunspec(read))).toMatchObject({
      powerW: -346,
      phasePowerW: [-346, null, null],
      voltageDv: [2_301, null, 2_300],
      currentMa: [1_520, null, null],
      exportWh: 1_234_567,
      importWh: 8_765_432,
    })
  })

  test('integers are exact whatever their scale factor: no float in between', async () => {
    const word = fc.integer({ min: -32_767, max: 32_767 })
    const count = fc.integer({ min: 1, max: 0xffff_ffff })
    await fc.assert(
      fc.asyncProperty(word, count, fc.integer({ min: -4, max: 2 }), async (W, TotWhImp, scale) => {
        const model = meterModel(201, { W, W_SF: scale, TotWhImp, TotWh_SF: scale })
        const { read } = asking({ holding: sunspecMap(40_000, common, model) })
        const { powerW, importWh } = await readDevice(read, await findSunspec(read))
        const factor = 10n ** BigInt(Math.abs(scale))
        const exactWh = scale < 0 ? BigInt(TotWhImp) / factor : BigInt(TotWhImp) * factor
        expect(importWh).toBe(Number(exactWh))
        const half = scale < 0 ? Number(factor) / 2 : 0
        const rounded =
          scale < 0
            ? Math.floor((Math.abs(W) + half) / Number(factor))
            : Math.abs(W) * Number(factor)
        expect(powerW).toBe(Math.sign(W) * rounded + 0)
      }),
    )
  })

  test.each([
    ['a value', { W: -32_768 }, { powerW: null, importWh: 12_345 }],
    ['a scale factor of a value', { W_SF: -32_768 }, { powerW: null, importWh: 12_345 }],
    ['a scale factor beyond all', { TotWh_SF: 11 }, { exportWh: null, importWh: null }],
    ['no accumulator', { TotWhExp: 0, TotWhImp: 0 }, { exportWh: null, importWh: null }],
    ['the other accumulator', { TotWhExp: 0 }, { exportWh: 0, importWh: 12_345 }],
    ['volts', { PhVphA: -32_768 }, { voltageDv: [null, 2_314, 2_299] }],
  ])('not implemented: %s', async (_, values, expected) => {
    const model = meterModel(203, { ...integerMeter, WphA: -32_768, ...values })
    const { read } = asking({ holding: sunspecMap(40_000, common, model) })
    expect(await readDevice(read, await findSunspec(read))).toMatchObject(expected)
  })

  test('all of a moment: one request a round', async () => {
    const { read, requests } = asking({
      holding: sunspecMap(40_000, common, meterModel(203, integerMeter)),
    })
    const device = await findSunspec(read)
    requests.length = 0
    await readDevice(read, device)
    expect(requests).toEqual(['holding 40070+55'])
  })

  test('a map that moved is noticed, and no number is read from it', async () => {
    const holding = sunspecMap(40_000, common, meterModel(203, integerMeter))
    const { read } = asking({ holding })
    const device = await findSunspec(read)
    const other = sunspecMap(40_000, common, inverter, meterModel(203, integerMeter))
    for (const [address, word] of other) holding.set(address, word)
    expect(await readDevice(read, device).then(() => '', codeOf)).toBe('modbus/moved')
    expect((await readDevice(read, await findSunspec(read))).powerW).toBe(-12_340)
  })

  const endless = wordsAt([
    40_000,
    0x5375,
    0x6e53,
    ...Array.from({ length: 400 }, (_, i) => (i % 2 === 0 ? 64_000 : 0)),
  ])
  test.each([
    ['no marker', wordsAt([40_000, 0x5375, 0x6e54]), 'modbus/not-sunspec'],
    ['nothing at all', wordsAt(), 'modbus/not-sunspec'],
    ['no meter', sunspecMap(40_000, common, inverter), 'modbus/no-meter'],
    ['no end either', wordsAt([40_000, 0x5375, 0x6e53, ...common, ...inverter]), 'modbus/no-meter'],
    ['up to the last address', wordsAt([0, 0x5375, 0x6e53, 64_000, 65_533]), 'modbus/no-meter'],
    ['no end ever', endless, 'modbus/bad-map'],
    [
      'a meter too short',
      sunspecMap(40_000, common, meterModel(203, integerMeter).with(1, 50)),
      'modbus/bad-map',
    ],
    ['a maker too short', sunspecMap(40_000, [1, 2, 0, 0]), 'modbus/bad-map'],
  ])('%s', async (_, holding, code) => {
    const { read } = asking({ holding })
    expect(await findSunspec(read).then(() => 'found', codeOf)).toBe(code)
  })

  test('any registers: a device or a coded error', async () => {
    const word = fc.oneof(
      fc.constantFrom(1, 203, 213, 66, 105, 124, 0xffff, 0),
      fc.integer({ min: 0, max: 0xffff }),
    )
    await fc.assert(
      fc.asyncProperty(fc.array(word, { maxLength: 300 }), async (words) => {
        const { read } = asking({ holding: wordsAt([40_000, 0x5375, 0x6e53, ...words]) })
        const outcome = await findSunspec(read)
          .then((device) => readDevice(read, device))
          .then(() => 'read', codeOf)
        expect(outcome).toMatch(/^(read|modbus\/(no-meter|bad-map|refused))$/)
      }),
    )
  })
})

describe('a table of one’s own', () => {
  const rows: Row[] = [
    row(10, { type: 'int32', littleFirst: true, exponent: -1 }),
    row(20, { type: 'uint32', scaleRegister: 22, code: '1-0:1.8.0', unit: 'kWh' }),
    row(20, { type: 'uint16', code: '1-0:32.7.0', unit: 'kW' }),
  ]

  test('word order, scale, scale register, prefixes; a unit that does not fit is named', async () => {
    const { read } = asking({ input: wordsAt([10, 0xfff6, 0xffff], [20, 1, 0, 0xfffe]) })
    const device = { maker: null, meterId: null, rows, blocks: blocksOf(rows) }
    expect(await readDevice(read, device)).toMatchObject({
      powerW: -1,
      importWh: 655_360,
      voltageDv: [null, null, null],
      unread: [{ what: '1-0:32.7.0', why: 'its unit is "W", not V' }],
    })
  })
})
