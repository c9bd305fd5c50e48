import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { concat, fromHex } from '#bytes'
import { createSmlFramer, parseSml, type SmlTelegram } from '#sml'
import { crc16Kermit, crc16X25 } from '#telegram'
import { codeThrown, orRefused } from '../support/coded.ts'
import { latin1, outcome, recorded, smlFrame } from '../support/telegrams.ts'

const whole = recorded('sml/emh-ehz.bin')

function framesOf(bytes: Uint8Array) {
  const framer = createSmlFramer()
  return outcome([...framer.push(bytes), ...framer.end()])
}

/** A file with one list of these entries, written as hexadecimal TLV. */
function file(...entries: string[]): Uint8Array {
  const list = `77 01 0b0901454d48000041f045 01 01 ${count(entries)} ${entries.join('')} 01 01`
  return fromHex(`7605 00000001 6200 6200 72 630701 ${list} 630000 00`.replaceAll(' ', ''))
}

function count(entries: readonly string[]): string {
  const digits = entries.length.toString(16)
  return digits.length === 1 ? `7${digits}` : `f${digits[0]}0${digits[1]}`
}

/** One entry; unit, scaler and value as TLV. */
function entry(name: string, unit: string, scaler: string, value: string): string {
  return `77 07 ${name} 01 01 ${unit} ${scaler} ${value} 01`.replaceAll(' ', '')
}

const names = { import: '0100010800ff', power: '0100100700ff', voltage: '0100200700ff' }
const units = { wh: '621e', w: '621b', v: '6223' }

function read(...entries: string[]): SmlTelegram {
  const telegram = parseSml(file(...entries))
  if (telegram === null) throw new Error('no list was found')
  return telegram
}

describe('a file as a meter sent it', () => {
  test('registers, power, number, maker', () => {
    const { telegrams, lost } = framesOf(whole)
    expect(lost).toEqual([])
    expect(telegrams.map(parseSml)).toMatchObject([
      {
        // 15338.5557 kWh.
        importWh: 15_338_555,
        importByTariffWh: { 1: 15_338_555, 2: 0 },
        exportWh: null,
        powerW: 564,
        meterId: '0901454D48000041F045',
        maker: 'EMH',
        checked: true,
        unread: [],
      },
    ])
  })

  test('a wrong checksum is refused', () => {
    const bad = recorded('sml/emh-ehz-bad-crc.bin')
    expect(framesOf(bad)).toEqual({ telegrams: [], lost: ['sml/bad-crc'] })
    expect(framesOf(concat(bad, whole)).telegrams).toHaveLength(1)
  })
})

describe('values', () => {
  test.each([
    // value, as TLV; scaler; Wh
    ['6200', '5200', 0],
    ['62ff', '5200', 255],
    ['6900000000ffffffff', '52ff', 429_496_729],
    ['59000009247a550000', '52fc', 1_005_227_586],
    ['69000000e8d4a50fff', '5200', 999_999_999_999],
    ['690000000000003039', '5203', 12_345_000],
  ])('register %s × 10^%s', (value, scaler, importWh) => {
    const one = entry(names.import, units.wh, scaler, value)
    expect(read(one)).toMatchObject({ importWh, unread: [] })
  })

  test.each([
    ['5200', '5200', 0],
    ['52ff', '5200', -1],
    ['53ff38', '5200', -200],
    // 0xd6ca × 10^-2: -105.50 W.
    ['53d6ca', '52fe', -106],
    ['54ff8000', '5200', -32_768],
    ['5500001603', '52ff', 564],
    ['63d6ca', '52fe', 550],
    ['5500000003', '5203', 3_000],
  ])('power %s × 10^%s', (value, scaler, powerW) => {
    expect(read(entry(names.power, units.w, scaler, value)).powerW).toBe(powerW)
  })

  test.each([
    ['another unit', entry(names.import, units.w, '5200', '6205'), 'its unit is "W", not Wh'],
    ['no unit', entry(names.import, '01', '5200', '6205'), 'its unit is missing, not Wh'],
    [
      'an unknown unit',
      entry(names.import, '62aa', '5200', '6205'),
      'its unit is "unit 170", not Wh',
    ],
    ['text', entry(names.import, units.wh, '5200', '024f'), 'its unit is "no number", not Wh'],
    ['below zero', entry(names.import, units.wh, '5200', '52ff'), 'below zero'],
    [
      'a scaler in text',
      entry(names.import, units.wh, '02ff', '6205'),
      'its unit is "no number", not Wh',
    ],
    [
      'a scaler that is a list',
      entry(names.import, units.wh, '7152ff', '6205'),
      'its unit is "no number", not Wh',
    ],
    ['a scaler nobody means', entry(names.import, units.wh, '527f', '6201'), 'out of range'],
    ['too much', entry(names.import, units.wh, '5200', '69ffffffffffffffff'), 'out of range'],
    ['a value of the past', entry('010001080001', units.wh, '5200', '6201'), 'not known here'],
  ])('a register with %s is named, not read', (_, one, why) => {
    const telegram = read(one, entry(names.voltage, units.v, '52ff', '630906'))
    expect(telegram).toMatchObject({ importWh: null, voltageDv: [2_310, null, null] })
    expect(telegram.unread.map((unread) => unread.why)).toEqual([why])
  })

  test('any signed integer in any length and any scale is exact', () => {
    const value = fc.bigInt({ min: -(2n ** 39n), max: 2n ** 39n })
    fc.assert(
      fc.property(
        value,
        fc.integer({ min: 5, max: 8 }),
        fc.integer({ min: -3, max: 2 }),
        (n, length, scaler) => {
          const bytes = BigInt.asUintN(8 * length, n)
            .toString(16)
            .padStart(2 * length, '0')
          const scale = BigInt.asUintN(8, BigInt(scaler)).toString(16).padStart(2, '0')
          const { powerW } = read(
            entry(names.power, units.w, `52${scale}`, `5${length + 1}${bytes}`),
          )
          const milli = n * 10n ** BigInt(scaler + 3)
          const size = ((milli < 0n ? -milli : milli) + 500n) / 1_000n
          const expected = Number(milli < 0n ? -size : size)
          expect(powerW).toBe(Math.abs(expected) > 1_000_000_000 ? null : expected + 0)
        },
      ),
    )
  })

  test('lists longer than fifteen have a length of two bytes', () => {
    const many = Array.from({ length: 40 }, (_, i) =>
      entry(`0100${(0x60 + i).toString(16)}0700ff`, units.w, '5200', '6201'),
    )
    expect(read(...many, entry(names.import, units.wh, '5200', '6207')).importWh).toBe(7)
  })
})

describe('transport', () => {
  test('CRC-16/X-25 and CRC-16/KERMIT check values', () => {
    expect(crc16X25(latin1('123456789'))).toBe(0x906e)
    expect(crc16Kermit(latin1('123456789'))).toBe(0x2189)
  })

  test('a meter that leaves out the ones of the checksum is read too', () => {
    const changed = Uint8Array.from(whole)
    const crc = crc16Kermit(whole.subarray(0, -2))
    changed.set([crc & 0xff, crc >> 8], whole.length - 2)
    expect(framesOf(changed).telegrams).toHaveLength(1)
  })

  test('any content comes out as it went in, whatever stands around it, in whatever pieces', () => {
    const byte = fc.oneof(fc.constantFrom(0x1b, 0x1a, 0x01, 0x00), fc.nat(255))
    const content = fc
      .array(byte, { maxLength: 60 })
      .map((bytes) => Uint8Array.from([...bytes, 0x76, 0]))
    const noise = fc.uint8Array({ maxLength: 40 })
    fc.assert(
      fc.property(content, noise, fc.integer({ min: 1, max: 50 }), (bytes, around, size) => {
        const stream = concat(around, Uint8Array.of(0), smlFrame(bytes), around)
        const framer = createSmlFramer()
        const frames = []
        for (let at = 0; at < stream.length; at += size) {
          frames.push(...framer.push(stream.slice(at, at + size)))
        }
        expect(outcome(frames)).toEqual({ telegrams: [bytes], lost: [] })
      }),
    )
  })

  test('half a file, then a whole one', () => {
    for (const cut of [9, 100, 325]) {
      expect(framesOf(concat(whole.slice(0, cut), whole))).toEqual({
        telegrams: framesOf(whole).telegrams,
        lost: ['sml/half-file'],
      })
    }
    expect(framesOf(whole.slice(0, 200)).lost).toEqual(['sml/half-file'])
    expect(framesOf(whole.slice(1))).toEqual({ telegrams: [], lost: [] })
  })

  test('up to sixteen damaged bits in a row never yield another file', () => {
    const original = framesOf(whole).telegrams
    fc.assert(
      fc.property(fc.nat(whole.length - 2), fc.integer({ min: 1, max: 0xffff }), (index, mask) => {
        const damaged = Uint8Array.from(whole)
        damaged[index]! ^= mask >> 8
        damaged[index + 1]! ^= mask & 0xff
        const { telegrams } = framesOf(damaged)
        expect(telegrams.length === 0 ? original : telegrams).toEqual(original)
      }),
      { numRuns: 300 },
    )
  })

  test('without an end it is given up', () => {
    const endless = concat(fromHex('1b1b1b1b01010101'), new Uint8Array(40_000))
    expect(framesOf(endless).lost).toEqual(['sml/too-long'])
  })
})

describe('content', () => {
  test('no list of values is no telegram', () => {
    expect(
      parseSml(
        fromHex('7605000000016200620072630101 76010101010101 630000 00'.replaceAll(' ', '')),
      ),
    ).toBeNull()
    expect(parseSml(new Uint8Array(0))).toBeNull()
  })

  test('two meters in one file are refused', () => {
    const one = file(entry(names.import, units.wh, '5200', '6201'))
    const other = Uint8Array.from(one)
    const at = Buffer.from(one).indexOf(fromHex('41f045'))
    other[at]! ^= 1
    expect(parseSml(concat(one, one))?.unread[0]?.why).toBe('there twice')
    expect(codeThrown(() => parseSml(concat(one, other)))).toBe('sml/several-meters')
  })

  test.each([
    ['a list nested without end', 'f10f'.repeat(300)],
    ['a list that promises more than there is', '76ffffff0f'],
    ['a value longer than its file', '7605000000'],
    ['an integer of nine bytes', '76 6a000000000000000000'],
    ['a type nobody uses', '76 22ff'],
  ])('%s', (_, hex) => {
    expect(codeThrown(() => parseSml(fromHex(hex.replaceAll(' ', ''))))).toBe('sml/malformed')
  })

  test('any bytes: nothing, a telegram or a coded error', () => {
    const [content = new Uint8Array(0)] = framesOf(whole).telegrams
    const damaged = fc
      .tuple(fc.nat(content.length - 1), fc.uint8Array({ minLength: 1, maxLength: 8 }))
      .map(([at, bytes]) => concat(content.slice(0, at), bytes, content.slice(at + bytes.length)))
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 200 }), damaged), (bytes) => {
        const telegram = orRefused(() => parseSml(bytes))
        const values = [telegram?.importWh, telegram?.powerW].filter((value) => value != null)
        expect(values.every(Number.isSafeInteger)).toBe(true)
      }),
      { numRuns: 300 },
    )
  })
})
