import { createCipheriv } from 'node:crypto'
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { concat, fromHex } from '#bytes'
import {
  additionalData,
  createP1Framer,
  formatEncrypted,
  parseEncrypted,
  parseP1,
  publicAuthenticationKey,
  type P1Telegram,
} from '#p1'
import { crc16Arc } from '#telegram'
import { codeThrown, orRefused } from '../support/coded.ts'
import { latin1, outcome, p1Telegram, recorded } from '../support/telegrams.ts'

const central = { winterMinutes: 60 }
const read = (lines: string[], crc?: string) => parseP1(p1Telegram(lines, crc), central)

/** All that a stream holds. */
function readAll(bytes: Uint8Array): { telegrams: P1Telegram[]; refused: string[] } {
  const framer = createP1Framer()
  const { telegrams, lost } = outcome([...framer.push(bytes), ...framer.end()])
  const refused = [...lost]
  return {
    telegrams: telegrams.flatMap((telegram) => {
      const parsed = orRefused(() => parseP1(telegram, central))
      if (parsed === null) refused.push(codeThrown(() => parseP1(telegram, central)))
      return parsed === null ? [] : [parsed]
    }),
    refused,
  }
}

const of = (name: string) => readAll(recorded(`p1/${name}.txt`)).telegrams[0]
const utc = (iso: string) => Date.parse(iso) / 1_000

describe('telegrams as meters sent them', () => {
  // file, time, id, import, export, power, checksum
  const rows = [
    ['v2-2', null, null, 2_002, 2_002, 1_010, false],
    ['v3', null, 'K8EG004046395507', 24_691_356, 24_691_356, 1_190, false],
    [
      'v4-2',
      '2016-11-13T19:57:57Z',
      '3960221976967177082151037881335713',
      3_016_829,
      0,
      2_027,
      true,
    ],
    ['v5', '2017-01-02T18:20:02Z', 'K8EG004046395507', 6_825, 2_444, 244, true],
    ['v5-two-mbus', '2020-04-26T20:33:25Z', 'E0044007382246019', 2_375_582, 0, 111, true],
    ['fluvius-v171', '2020-05-12T11:54:09Z', '1SAG3101021605', 15_792, 11, 0, true],
    ['fluvius-v171-alt', '2023-11-02T11:15:48Z', '1SAG3100721326', 571_562, 5, 338, true],
    ['esy5q3da1004-v304', null, '1336001560', 32_549_506, null, 1_688, false],
    ['esy5q3db1024-v304', null, '0272031312565', 52_185_782, 19_949_322, 2_125, false],
    [
      's2m-kaifa-v42-redacted',
      '2019-05-14T19:36:20Z',
      '453xxxxxxxxxx',
      3_000_579,
      3_001_245,
      329,
      true,
    ],
  ] as const

  test.each(rows)('%s', (name, time, meterId, importWh, exportWh, powerW, checked) => {
    const { telegrams, refused } = readAll(recorded(`p1/${name}.txt`))
    expect(refused).toEqual([])
    const timeS = time === null ? null : utc(time)
    expect(telegrams).toMatchObject([{ timeS, meterId, importWh, exportWh, powerW, checked }])
  })

  test('M-Bus channels: gas, water, a meter that was taken away and has no value any more', () => {
    expect(of('v3')?.channels).toEqual([
      // The stamp of DSMR 3 does not say whether it is summer.
      {
        channel: 1,
        kind: 'gas',
        meterId: '2222ABCD123456789',
        timeS: null,
        value: 1_001,
        unit: 'l',
      },
    ])
    expect(of('fluvius-v171')?.channels).toMatchObject([
      { channel: 1, kind: 'gas', timeS: utc('2020-05-12T11:45:58Z'), value: 112_384, unit: 'l' },
      { channel: 2, kind: 'water', meterId: '8SAG1234567890', value: 872_234, unit: 'l' },
    ])
    expect(of('v5-two-mbus')).toMatchObject({
      channels: [
        { channel: 1, kind: 'gas', meterId: null, timeS: null, value: null },
        { channel: 2, kind: 'gas', meterId: 'G0039001936990619', value: 246_138, unit: 'l' },
      ],
      unread: [{ what: '0-1:24.2.1', why: 'its unit is missing' }],
    })
  })

  test('the log of power failures, stamps of a clock that was never set included', () => {
    const [telegram] = readAll(recorded('p1/v4-2.txt')).telegrams
    expect(telegram).toMatchObject({ powerFailures: 7, shortPowerFailures: 15 })
    expect(telegram?.failureLog).toEqual([
      { endS: utc('2000-01-04T17:03:20Z'), durationS: 237_126 },
      { endS: utc('1999-12-31T23:00:01Z'), durationS: 2_147_583_646 },
      { endS: utc('2000-01-01T23:00:03Z'), durationS: 2_317_482_647 },
    ])
  })

  test('voltages and currents of three phases', () => {
    expect(readAll(recorded('p1/fluvius-v171-alt.txt')).telegrams[0]).toMatchObject({
      voltageDv: [2_329, 2_281, 2_281],
      currentMa: [270, 880, 520],
      phasePowerW: [47, 179, 111],
      exportByTariffWh: { 1: 5, 2: 0 },
    })
  })
})

describe('dialects', () => {
  test('Sagemcom in Luxembourg, Austria, Sweden: totals beside tariffs, Wh and W', () => {
    const telegram = read([
      '1-3:0.2.8(50)',
      '0-0:42.0.0(53414731303330373030303030303031)',
      '1-0:1.8.0(006545766*Wh)',
      '1-0:1.8.1(005017120*Wh)',
      '1-0:1.8.2(001528646*Wh)',
      '1-0:1.7.0(000000286*W)',
      '1-0:2.8.0(000000058*Wh)',
      '1-0:2.7.0(000001000*W)',
      '1-0:3.8.0(000000747*varh)',
      '1-0:23.7.0(00.010*kvar)',
    ])
    expect(telegram).toMatchObject({ importWh: 6_545_766, exportWh: 58, powerW: -714, unread: [] })
    expect(telegram.meterId).toBe('SAG1030700000001')
  })

  test('Hungary: four tariffs beside a total, serial number under 96.1.0, months in 98.1.0', () => {
    const telegram = read([
      '0-0:1.0.0(230817171430S)',
      '0-0:42.0.0(AUX1030303218166)',
      '0-0:96.1.0(9903218166)',
      '0-0:96.14.0(0001)',
      '0-0:96.50.68(ON)',
      '0-0:17.0.0(90.000*kW)',
      '1-0:1.8.0(000812.421*kWh)',
      '1-0:1.8.1(000470.111*kWh)',
      '1-0:1.8.2(000342.310*kWh)',
      '1-0:1.8.3(000000.000*kWh)',
      '1-0:1.8.4(000000.000*kWh)',
      '1-0:2.8.0(001714.369*kWh)',
      '1-0:15.8.0(002526.790*kWh)',
      '1-0:32.7.0(234.0*V)',
      '1-0:31.7.0(001*A)',
      '1-0:13.7.0(0.336)',
      '1-0:14.7.0(49.99*Hz)',
      '1-0:1.7.0(00.250*kW)',
      '1-0:2.7.0(00.168*kW)',
      '1-0:5.7.0(00.000*kvar)',
      '0-0:98.1.0(230801000000S)(000663.924*kWh)',
    ])
    expect(telegram).toMatchObject({
      timeS: utc('2023-08-17T15:14:30Z'),
      meterId: '9903218166',
      importWh: 812_421,
      exportWh: 1_714_369,
      powerW: 82,
      unread: [],
    })
  })

  test('Ireland: winter time is UTC', () => {
    const times = ['260101120000W', '260701120000S'].map((stamp) => {
      const telegram = p1Telegram([`0-0:1.0.0(${stamp})`])
      return parseP1(telegram, { winterMinutes: 0 }).timeS
    })
    expect(times).toEqual([utc('2026-01-01T12:00:00Z'), utc('2026-07-01T11:00:00Z')])
  })

  test('an unknown dialect: what is there is read, what is not understood is named', () => {
    const telegram = read([
      '1-0:1.8.0(1.5*kWh)',
      '1-0:1.7.0(7*W)',
      '1-0:99.1.0(42)',
      'C.1.0(12345678)',
      'nonsense',
    ])
    expect(telegram).toMatchObject({ importWh: 1_500, powerW: 7 })
    expect(telegram.unread.map(({ what }) => what)).toEqual(['1-0:99.1.0', 'C.1.0', 'nonsense'])
  })
})

describe('a unit is checked, never guessed', () => {
  // What the line says, what becomes of the register, and why.
  const rows = [
    ['1-0:1.8.0(000001.234*kWh)', 1_234, undefined],
    ['1-0:1.8.0(1234*Wh)', 1_234, undefined],
    ['1-0:1.8.0(0.001234567*MWh)', 1_234, undefined],
    ['1-0:1.8.0*255(1.2349999*kWh)', 1_234, undefined],
    ['1-0:1.8.0(0*kWh)', 0, undefined],
    ['1-0:1.8.0(1234)', null, 'its unit is missing, not Wh'],
    ['1-0:1.8.0(1234*kW)', null, 'its unit is "W", not Wh'],
    ['1-0:1.8.0(1234*KWH)', null, 'its unit is "KWH", not Wh'],
    ['1-0:1.8.0(1234*kvarh)', null, 'its unit is "kvarh", not Wh'],
    ['1-0:1.8.0(1234*toString)', null, 'its unit is "toString", not Wh'],
    ['1-0:1.8.0(-1*kWh)', null, 'below zero'],
    ['1-0:1.8.0(1,234*kWh)', null, 'its unit is "no number", not Wh'],
    ['1-0:1.8.0(1e3*kWh)', null, 'its unit is "no number", not Wh'],
    ['1-0:1.8.0()', null, 'its unit is "no number", not Wh'],
    ['1-0:1.8.0(99999999999999999999*kWh)', null, 'out of range'],
    // A value of last month, and another meter's channel.
    ['1-0:1.8.0*01(1234*Wh)', null, 'not known here'],
    ['1-1:1.8.0(1234*Wh)', null, 'not known here'],
  ] as const

  test.each(rows)('%s', (line, importWh, why) => {
    const telegram = read([line])
    expect(telegram.importWh).toBe(importWh)
    expect(telegram.unread[0]?.why).toBe(why)
  })

  test('a tariff that cannot be read leaves no smaller sum', () => {
    const tariffs = ['1-0:1.8.1(1.5*kWh)', '1-0:1.8.2(700*Wh)']
    expect(read(tariffs).importWh).toBe(2_200)
    expect(read([...tariffs, '1-0:1.8.3(9)']).importWh).toBeNull()
    expect(read([...tariffs, '1-0:1.8.1(1.6*kWh)'])).toMatchObject({
      importWh: null,
      unread: [{ what: '1-0:1.8.1', why: 'there twice' }],
    })
    expect(read([...tariffs, '1-0:1.8.0(2.3*kWh)']).importWh).toBe(2_300)
  })

  test.each([
    'a space 1-0:1.8.2 (000200.000*kWh)',
    'a bracket 1-0:1.8.2(000200.000*kWh',
    'the end 1-0:1.8.2*255(000200.000*kWh) ',
    'a letter 1-0:1.8.2(000200.000*kW\u00e9)',
  ])('a tariff in a line out of form leaves no smaller sum: %s', (text) => {
    const line = text.slice(text.indexOf('1-0:'))
    const telegram = read(['1-0:1.8.1(000100.000*kWh)', line, '1-0:1.7.0(00.500*kW)'])
    expect(telegram).toMatchObject({ checked: true, importWh: null, powerW: 500 })
    expect(telegram.unread.map(({ what }) => what)).toEqual(['1-0:1.8.2'])
  })

  test('an export in a line out of form: import alone is not the power', () => {
    const lines = ['1-0:1.8.0(1*kWh)', '1-0:1.7.0(00.000*kW)', '1-0:2.7.0(00.500*kW']
    expect(read(lines)).toMatchObject({ importWh: 1_000, powerW: null })
  })

  test('power: import less export, net, or all phases, and none when one of them is missing', () => {
    const phases = ['1-0:21.7.0(1*kW)', '1-0:41.7.0(2*kW)', '1-0:61.7.0(3*kW)']
    expect(read(['1-0:1.7.0(0*kW)', '1-0:2.7.0(1.2345*kW)']).powerW).toBe(-1_235)
    expect(read(['1-0:16.7.0(-300.4*W)']).powerW).toBe(-300)
    expect(read(phases).powerW).toBe(6_000)
    expect(read([...phases, '1-0:62.7.0(7000*W)']).powerW).toBe(-1_000)
    expect(read(['1-0:21.7.0(1*kW)']).powerW).toBe(1_000)
    expect(read(['1-0:21.7.0(1*kW)', '1-0:41.7.0(1)', '1-0:61.7.0(1)']).powerW).toBeNull()
    expect(read(['1-0:1.7.0(1*kW)', '1-0:2.7.0(1)']).powerW).toBeNull()
    expect(read(['1-0:1.8.0(1*kWh)']).powerW).toBeNull()
  })

  test('any exact number of tariffs sums as integers do', () => {
    const mWh = fc.bigInt({ min: 0n, max: 10n ** 12n })
    fc.assert(
      fc.property(fc.array(mWh, { minLength: 1, maxLength: 9 }), (parts) => {
        const lines = parts.map((part, index) => {
          const text = String(part).padStart(7, '0')
          return `1-0:1.8.${index + 1}(${text.slice(0, -6)}.${text.slice(-6)}*kWh)`
        })
        const total = parts.reduce((sum, part) => sum + part, 0n)
        expect(read(lines).importWh).toBe(Number(total / 1_000n))
      }),
    )
  })
})

describe('time stamps', () => {
  const rows = [
    ['700101010000W', 0],
    ['000101000001W', utc('1999-12-31T23:00:01Z')],
    // The hour that comes twice.
    ['261025023000S', utc('2026-10-25T00:30:00Z')],
    ['261025023000W', utc('2026-10-25T01:30:00Z')],
    ['240229120000W', utc('2024-02-29T11:00:00Z')],
    ['230229120000W', null],
    ['632525252525W', null],
    ['260101246000W', null],
    ['700101000000W', null],
    ['260101120000', null],
    ['260101120000X', null],
    ['', null],
  ] as const

  test.each(rows)('%s', (stamp, timeS) => {
    expect(read([`0-0:1.0.0(${stamp})`])).toMatchObject({ timeS })
  })

  test('any moment, as a clock in Amsterdam shows it', () => {
    const format = new Intl.DateTimeFormat('sv-SE', {
      timeZone: 'Europe/Amsterdam',
      dateStyle: 'short',
      timeStyle: 'medium',
    })
    const offset = new Intl.DateTimeFormat('en', {
      timeZone: 'Europe/Amsterdam',
      timeZoneName: 'longOffset',
    })
    const second = fc.integer({
      min: utc('2000-01-02T00:00:00Z'),
      max: utc('2069-12-30T00:00:00Z'),
    })
    fc.assert(
      fc.property(second, (timeS) => {
        const digits = format
          .format(timeS * 1_000)
          .replace(/\D/g, '')
          .slice(2)
        const summer = offset.format(timeS * 1_000).includes('+02')
        expect(read([`0-0:1.0.0(${digits}${summer ? 'S' : 'W'})`]).timeS).toBe(timeS)
      }),
    )
  })
})

describe('checksum', () => {
  test('CRC-16/ARC check value', () => {
    expect(crc16Arc(latin1('123456789'))).toBe(0xbb3d)
  })

  const line = '1-0:1.8.0(1*kWh)'
  test('a wrong one, half of one, one in words: refused', () => {
    for (const crc of ['0000', '12', 'none']) {
      expect(codeThrown(() => read([line], crc))).toBe('p1/bad-crc')
    }
  })

  test('a meter that always sends one sent none: refused; an old meter has none', () => {
    expect(codeThrown(() => read(['1-3:0.2.8(50)', line], ''))).toBe('p1/no-crc')
    expect(codeThrown(() => read(['1-3:0.2.8(3)', '1-3:0.2.8(50)', line], ''))).toBe('p1/no-crc')
    expect(codeThrown(() => read(['0-0:96.1.4(50217)', line], ''))).toBe('p1/no-crc')
    expect(read([line], '')).toMatchObject({ importWh: 1_000, checked: false })
  })

  test('without one, a line that is damaged damages all', () => {
    expect(codeThrown(() => read([line, '1-0:2.8.0(0\xff1*kWh)'], ''))).toBe('p1/damaged')
    expect(codeThrown(() => read([line, '1-0:2.8.0(01*kWh'], ''))).toBe('p1/damaged')
  })

  test('a file with other line ends says that an editor did it', () => {
    const edited = latin1(
      Buffer.from(recorded('p1/v5.txt')).toString('latin1').replaceAll('\r', ''),
    )
    expect(() => parseP1(edited, central)).toThrow(/editor/)
  })

  test('up to sixteen damaged bits in a row never yield another telegram', () => {
    const whole = recorded('p1/v5.txt')
    const original = readAll(whole).telegrams
    const at = fc.integer({ min: 0, max: whole.length - 2 })
    const bits = fc.integer({ min: 1, max: 0xffff })
    fc.assert(
      fc.property(at, bits, (index, mask) => {
        const damaged = Uint8Array.from(whole)
        damaged[index]! ^= mask >> 8
        damaged[index + 1]! ^= mask & 0xff
        const { telegrams } = readAll(damaged)
        // Bits after the checksum, in the line end, change nothing.
        expect(telegrams.length === 0 ? original : telegrams).toEqual(original)
      }),
      { numRuns: 200 },
    )
  })

  test('what is left of a telegram that lost a piece is refused', () => {
    const whole = recorded('p1/v4-2.txt')
    const original = readAll(whole).telegrams
    const span = fc.tuple(fc.nat(whole.length - 1), fc.integer({ min: 1, max: whole.length }))
    fc.assert(
      fc.property(span, ([from, length]) => {
        const { telegrams } = readAll(concat(whole.slice(0, from), whole.slice(from + length)))
        expect(telegrams.length === 0 ? original : telegrams).toEqual(original)
      }),
      // The checksum misses one in 65,536 pieces: always the same ones are tried.
      { numRuns: 150, seed: 20_261_126 },
    )
  })
})

describe('a stream', () => {
  const whole = ['v2-2', 'v5', 'esy5q3da1004-v304', 'fluvius-v171'].map((name) =>
    recorded(`p1/${name}.txt`),
  )
  const stream = concat(...whole, ...whole)

  test('the same telegrams wherever the pieces begin', () => {
    const inOne = outcome(createP1Framer().push(stream))
    expect(inOne.telegrams).toHaveLength(8)
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 2_000 }), { maxLength: 30 }), (sizes) => {
        const framer = createP1Framer()
        const frames = []
        let at = 0
        for (const size of [...sizes, stream.length]) {
          frames.push(...framer.push(stream.slice(at, at + size)))
          at += size
        }
        expect(outcome(frames)).toEqual(inOne)
      }),
    )
  })

  test('half a telegram, then a whole one, also on the same line', () => {
    const v5 = recorded('p1/v5.txt')
    for (const cut of [1, 30, 200, 600]) {
      const { telegrams } = readAll(concat(v5.slice(0, cut), v5))
      expect(telegrams.map(({ importWh }) => importWh)).toEqual([6_825])
    }
    expect(readAll(v5.slice(300))).toEqual({ telegrams: [], refused: ['p1/half-telegram'] })
    expect(readAll(v5.slice(0, 300))).toEqual({ telegrams: [], refused: ['p1/half-telegram'] })
  })

  test('any noise: coded errors or nothing, and the telegram after it is there', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), (noise) => {
        expect(readAll(noise).telegrams).toEqual([])
        const { telegrams } = readAll(concat(noise, latin1('\r\n'), recorded('p1/v5.txt')))
        expect(telegrams.map(({ importWh }) => importWh)).toEqual([6_825])
      }),
    )
  })

  test('any lines in a telegram: a result or a coded error, every number an integer', () => {
    const codes = ['1-0:1.8.0', '1-0:1.8.1', '1-0:1.7.0', '0-1:24.2.1', '0-1:24.3.0', '1-0:99.97.0']
    const groups = fc.array(
      fc.oneof(fc.string({ maxLength: 12 }), fc.constantFrom('1*kWh', '7*W', '', '3*m3', '2*s')),
      { maxLength: 8 },
    )
    const line = fc
      .tuple(fc.constantFrom(...codes), groups)
      .map(([code, parts]) => `${code}${parts.map((part) => `(${part})`).join('')}`)
    const anyLine = fc.oneof(line, fc.string({ maxLength: 20 }))
    fc.assert(
      fc.property(fc.array(anyLine, { maxLength: 8 }), fc.boolean(), (lines, crc) => {
        const telegram = orRefused(() => read(lines, crc ? undefined : ''))
        expect(
          [telegram?.importWh, telegram?.powerW, telegram?.channels[0]?.value]
            .filter((value) => value != null)
            .every(Number.isSafeInteger),
        ).toBe(true)
      }),
    )
  })

  test('without an end it is given up, and says what may be wrong', () => {
    const [frame] = createP1Framer().push(new Uint8Array(40_000).fill(0x55))
    expect(frame).toMatchObject({ lost: { code: 'p1/no-telegram' } })
    expect(frame).toHaveProperty('lost.message', expect.stringContaining('baud rate'))
  })
})

describe('encrypted telegrams', () => {
  const key = fromHex('000102030405060708090a0b0c0d0e0f')

  function encrypted(telegram: Uint8Array, counter: number): Uint8Array {
    const nonce = concat(fromHex('5341476700000001'), Uint8Array.of(0, 0, 0, counter))
    const cipher = createCipheriv('aes-128-gcm', key, nonce, { authTagLength: 12 })
    cipher.setAAD(additionalData(publicAuthenticationKey))
    const ciphertext = concat(cipher.update(telegram), cipher.final())
    return formatEncrypted({ nonce, ciphertext, tag: cipher.getAuthTag() })
  }

  test('told from noise, cut out, opened by who has the key', () => {
    const stream = concat(
      latin1('noise'),
      encrypted(recorded('p1/v5.txt'), 1),
      encrypted(recorded('p1/v4-2.txt'), 2),
    )
    expect(outcome(createP1Framer().push(stream)).lost).toEqual(['p1/encrypted', 'p1/encrypted'])
    const framer = createP1Framer((frame) => formatEncrypted(parseEncrypted(frame)))
    const { telegrams } = outcome([...stream].flatMap((byte) => framer.push(Uint8Array.of(byte))))
    expect(telegrams).toEqual([
      encrypted(recorded('p1/v5.txt'), 1),
      encrypted(recorded('p1/v4-2.txt'), 2),
    ])
  })
})
