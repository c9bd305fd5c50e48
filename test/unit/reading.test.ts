import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { concat, equal, fromHex, toHex, utf8 } from '#bytes'
import { decode, encode, encodeInts } from '#cbor'
import { sigStructure, verifySign1 } from '#cose'
import { nobleCrypto as crypto } from '#crypto'
import { nodeCrypto } from '#crypto-node'
import { integrate, loadExcerpt, registersAt, replayDay } from '#household'
import {
  buildBlock,
  chain,
  chainAll,
  checkBlockShape,
  checkReading,
  decodeBlock,
  decodeLive,
  decodeReading,
  decodeStatement,
  encodeBlock,
  encodeLive,
  encodeReading,
  encodeStatement,
  fieldOfObis,
  firstChain,
  mergeStatus,
  peekRegister,
  readingLimits,
  registerEnvelope,
  status,
  statementToSign,
  statusNames,
  toObis,
  verifyBlock,
  verifyRegister,
  verifyStatement,
  type Anchor,
  type Block,
  type Reading,
  type SkippedRange,
} from '#reading'
import { codeThrown, orRefused } from '../support/coded.ts'
import { anyReading, anyRun, plainReading } from '../support/readings.ts'

const key = nodeCrypto.signingKey(new Uint8Array(32).fill(7))
const verifyKey = nodeCrypto.verifyKey(key.publicKey)
const previousChain = firstChain(nodeCrypto, 'meter-1')

function block(readings: Reading[], skipped: SkippedRange[] = [], anchor?: Anchor): Block {
  const start = { startImportWh: readings[0]!.importWh, startExportWh: 0 }
  const parts = { deviceId: 'meter-1', previousChain, ...start, readings, skipped, anchor }
  return buildBlock(nodeCrypto, key, parts)
}

/** A block and its statement as the first release wrote them. */
const oldBody =
  '845820d9e296c653d87e9deeaf97d2c9f30be396c311d7bf0a26d3eb59808e3128d3db5840c61b7e3e18461c244527' +
  '365a43a9ee324c91df0e2d9978c491a601d016f2f82baef13a36c362fde23a9516359abb3ac13bb4fe313b481503d6' +
  '5891665ee06f068182060758229119023700051a6955b9001901af1908fa1907541a0012d68700020a000000010002'
const oldStatement =
  '8d676d657465722d310508818206075820d9e296c653d87e9deeaf97d2c9f30be396c311d7bf0a26d3eb59808e3128' +
  'd3db5820c73b72bd80954cd071e47d4c1a97fe780c5e36c0e2877ab577c2c8a93cd2fe911a6955b9001a6955b90a1a' +
  '0012d450001a0012d6880002'

function run(count: number): Reading[] {
  return Array.from({ length: count }, (_, i) => ({
    ...plainReading,
    number: 5 + i,
    timeS: plainReading.timeS + 60 * i,
    powerW: 400 + 13 * i,
    importWh: plainReading.importWh + 7 * i,
  }))
}

describe('reading', () => {
  test('canonical bytes come back as the same reading', () => {
    fc.assert(
      fc.property(anyReading, (reading) => {
        expect(decodeReading(encodeReading(reading))).toEqual(reading)
        expect(decode(encodeReading(reading))).toEqual(Object.values(reading))
      }),
    )
  })

  test.each([
    ['number 0', { number: 0 }],
    ['number beyond 2^53', { number: 2 ** 53 }],
    ['fraction of a watt', { powerW: 1.5 }],
    ['NaN', { powerW: Number.NaN }],
    ['minus zero', { powerW: -0 }],
    ['a string', { importWh: '5' as unknown as number }],
    ['undefined voltage', { voltageDv: undefined as unknown as null }],
    ['negative voltage', { voltageDv: -1 }],
    ['negative current', { currentMa: -1 }],
    ['negative register', { importWh: -1 }],
    ['register too large', { exportWh: readingLimits.registerWh + 1 }],
    ['the last day of the year 9999', { timeS: Date.parse('9999-12-31T00:00:00Z') / 1000 }],
    ['reserved time quality', { status: 3 }],
    ['17-bit status', { status: 0x10000 }],
  ])('refuses %s', (_, change) => {
    expect(codeThrown(() => checkReading({ ...plainReading, ...change }))).toBe('reading/bad-value')
  })

  test('a clock at 1970 is data, not an error', () => {
    expect(checkReading({ ...plainReading, timeS: 0 }).timeS).toBe(0)
  })

  test('status: worst quality, all flags, names', () => {
    expect(mergeStatus(1 | status.tamper, 2 | status.substitute)).toBe(
      2 | status.tamper | status.substitute,
    )
    expect(statusNames(2 | status.powerFail | (1 << 12))).toEqual([
      'time-unknown',
      'power-fail',
      'bit-12',
    ])
  })

  test('OBIS names show exactly the integers held', () => {
    const shown = toObis({ ...plainReading, currentMa: null })
    expect(shown).toEqual({
      '1-0:16.7.0': '431 W',
      '1-0:32.7.0': '229.8 V',
      '1-0:1.8.0': '1234.567 kWh',
      '1-0:2.8.0': '0.000 kWh',
    })
    expect(fieldOfObis('1-0:2.8.0')).toBe('exportWh')
    expect(fieldOfObis('1-0:3.8.0')).toBeNull()
  })
})

describe('chain', () => {
  test('is SHA-256 over the previous value and the canonical reading', () => {
    expect(toHex(firstChain(crypto, 'm'))).toBe(toHex(crypto.sha256(utf8('fogmeter chainm'))))
    const expected = crypto.sha256(concat(previousChain, encodeReading(plainReading)))
    expect(toHex(chain(nodeCrypto, previousChain, plainReading))).toBe(toHex(expected))
  })

  test('depends on the order', () => {
    const [a, b] = run(2) as [Reading, Reading]
    const forward = chainAll(crypto, previousChain, [a, b])
    expect(equal(forward, chainAll(crypto, previousChain, [b, a]))).toBe(false)
  })
})

describe('live', () => {
  test('a reading after any other comes back the same', () => {
    fc.assert(
      fc.property(anyReading, anyReading, (a, b) => {
        fc.pre(a.number < readingLimits.number)
        const next = { ...b, number: Math.max(b.number, a.number + 1) }
        expect(decodeLive(a, encodeLive(a, next))).toEqual(next)
      }),
    )
  })

  test('leaves out what did not change and accepts no other spelling', () => {
    const next = { ...plainReading, number: 6 }
    const values = encodeLive(plainReading, next)
    expect(values).toHaveLength(6)
    expect(decodeLive(plainReading, values)).toEqual(next)
    expect(codeThrown(() => decodeLive(plainReading, [...values, 0]))).toBe('reading/malformed')
    expect(codeThrown(() => decodeLive(plainReading, [...values, 0, 0]))).toBe('reading/malformed')
  })

  test('hostile values give coded errors only', () => {
    const value = fc.oneof(fc.maxSafeInteger(), fc.integer({ min: -9, max: 9 }), fc.constant(null))
    fc.assert(
      fc.property(anyReading, fc.array(value, { maxLength: 10 }), (previous, values) => {
        const again = orRefused(() => encodeLive(previous, decodeLive(previous, values)))
        expect(again ?? values).toEqual(values)
      }),
    )
  })
})

describe('block', () => {
  test('survives the wire and verifies there', () => {
    fc.assert(
      fc.property(anyRun, ({ readings, skipped, anchor }) => {
        const made = block(readings, skipped, anchor)
        const received = decodeBlock(nodeCrypto, encodeBlock(made), 'meter-1')
        expect(received).toEqual(made)
        expect(verifyBlock(nodeCrypto, verifyKey, received)).toBe(true)
      }),
    )
  })

  test('decodes from an array as well', () => {
    const made = block(run(3))
    const array = decode(encodeBlock(made)) as never
    expect(decodeBlock(nodeCrypto, array, 'meter-1')).toEqual(made)
  })

  test('from bytes as from the array in them, whether spelled as usual or not', () => {
    fc.assert(
      fc.property(
        anyRun,
        fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 2 }),
        fc.integer({ min: -2, max: 2 }),
        ({ readings, skipped, anchor }, flips, longer) => {
          const made = encodeBlock(block(readings, skipped, anchor))
          const at = flips.map(([place, byte]): [number, number] => [place % made.length, byte])
          const bytes = mutate(concat(made, new Uint8Array(2)).slice(0, made.length + longer), at)
          const fromBytes = orRefused(() => decodeBlock(nodeCrypto, bytes, 'm'))
          const array = orRefused(() => decode(bytes)) as never
          const fromArray = array && orRefused(() => decodeBlock(nodeCrypto, array, 'm'))
          expect(fromBytes).toEqual(fromArray)
        },
      ),
      { numRuns: 1_000 },
    )
  })

  test('what is signed is the Sig_structure of RFC 9052, however long the statement', () => {
    const protectedBytes = encode(new Map([[1, -8]]))
    const lengths = new Set<boolean>()
    for (const holes of [0, 1, 5, 60]) {
      const skipped = Array.from({ length: holes }, (_, i): SkippedRange => [2 * i + 1, 2 * i + 1])
      const numbers = Array.from({ length: holes + 1 }, (_, i) => 2 * i + (holes === 0 ? 1 : 2))
      const readings = numbers
        .slice(0, Math.max(1, holes))
        .map((number) => ({ ...plainReading, number }))
      const { statement } = block(readings, skipped)
      const payload = encodeStatement(statement)
      lengths.add(payload.length > 255)
      const whole = sigStructure(protectedBytes, utf8('fogmeter block 1'), payload)
      expect(toHex(statementToSign(statement))).toBe(toHex(whole))
    }
    expect(lengths.size).toBe(2)
  })

  test('of a Buffer keeps no part of it', () => {
    const body = Buffer.from(encodeBlock(block(run(3))))
    const { statement, signature } = decodeBlock(nodeCrypto, body, 'meter-1')
    body.fill(0)
    expect(toHex(statement.previousChain)).toBe(toHex(previousChain))
    expect(toHex(signature)).not.toMatch(/^0+$/)
  })

  test('accounts for numbers skipped before and inside, so that blocks meet', () => {
    const readings = [8, 9, 12].map((number) => ({ ...plainReading, number }))
    const { statement } = block(readings, [
      [5, 7],
      [10, 11],
    ])
    expect([statement.first, statement.last]).toEqual([5, 12])
  })

  test.each<[string, number[], SkippedRange[]]>([
    ['a hole not declared', [5, 7], []],
    ['a declared hole that is none', [5, 6], [[6, 6]]],
    ['a range after the last reading', [5], [[6, 7]]],
    ['a range far before the first reading', [5], [[1, 2]]],
    ['two readings with one number', [5, 5], []],
    ['descending numbers', [6, 5], []],
    ['no reading', [], []],
    ['65 readings', Array.from({ length: 65 }, (_, i) => i + 1), []],
    [
      'touching ranges',
      [5],
      [
        [1, 2],
        [3, 4],
      ],
    ],
  ])('refuses %s', (_, numbers, skipped) => {
    const readings = numbers.map((number) => ({ ...plainReading, number }))
    const parts = { deviceId: 'meter-1', previousChain, startImportWh: 0, startExportWh: 0 }
    const code = codeThrown(() => buildBlock(nodeCrypto, key, { ...parts, readings, skipped }))
    expect(['reading/bad-shape', 'reading/malformed']).toContain(code)
  })

  test('from before there were anchors decodes and encodes as ever', () => {
    const body = fromHex(oldBody)
    const old = decodeBlock(nodeCrypto, body, 'meter-1')
    expect(old.statement.anchor).toBeUndefined()
    expect(verifyBlock(nodeCrypto, verifyKey, old)).toBe(true)
    expect(toHex(encodeBlock(old))).toBe(oldBody)
    expect(toHex(encodeStatement(old.statement))).toBe(oldStatement)
  })

  test('with an anchor is longer by that alone', () => {
    const bare = encodeBlock(block(run(3))).length
    const anchored = encodeBlock(block(run(3), [], { boot: 2 ** 53 - 1, ageS: 86_400 })).length
    expect(anchored - bare).toBe(1 + 9 + 5)
  })

  test.each<[string, unknown]>([
    ['an age before the boot', { boot: 1, ageS: -1 }],
    ['half a second', { boot: 1, ageS: 0.5 }],
    ['a boot beyond the exact integers', { boot: 2 ** 53, ageS: 1 }],
    ['no boot', { ageS: 1 }],
  ])('refuses an anchor with %s', (_, anchor) => {
    expect(codeThrown(() => block(run(1), [], anchor as Anchor))).toBe('reading/bad-value')
  })

  test('a block for another device has another signature', () => {
    const made = block(run(2))
    const elsewhere = decodeBlock(nodeCrypto, encodeBlock(made), 'meter-2')
    expect(verifyBlock(nodeCrypto, verifyKey, elsewhere)).toBe(false)
  })

  test('hostile bodies give coded errors only, and what is accepted has one spelling', () => {
    const body = encodeBlock(block(run(4)))
    const flips = fc.array(fc.tuple(fc.nat(body.length - 1), fc.nat(255)), { maxLength: 3 })
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 80 }), flips), (input) => {
        const bytes = input instanceof Uint8Array ? input : mutate(body, input)
        const again = orRefused(() => encodeBlock(decodeBlock(nodeCrypto, bytes, 'm')))
        expect(toHex(again ?? bytes)).toBe(toHex(bytes))
      }),
      { numRuns: 1_000 },
    )
  })

  test('hostile values inside a well-formed body give coded errors only', () => {
    const value = fc.oneof(fc.maxSafeInteger(), fc.integer({ min: -9, max: 9 }), fc.constant(null))
    const values = fc.array(value, { maxLength: 40 })
    fc.assert(
      fc.property(values, (list) => {
        const body = [new Uint8Array(32), new Uint8Array(64), [], encodeInts(list)]
        const again = orRefused(() => encodeBlock(decodeBlock(nodeCrypto, body, 'm')))
        expect(toHex(again ?? encode(body))).toBe(toHex(encode(body)))
      }),
      { numRuns: 1_000 },
    )
  })
})

function mutate(bytes: Uint8Array, flips: [number, number][]): Uint8Array {
  const copy = bytes.slice()
  for (const [at, mask] of flips) copy[at]! ^= mask
  return copy
}

/** A value different from `value`, of the same kind. */
function changed(value: unknown): unknown {
  if (value instanceof Uint8Array) return mutate(value, [[value.length - 1, 1]])
  if (typeof value === 'string') return `${value}x`
  if (Array.isArray(value)) return value.length === 0 ? [[6, 6]] : value.slice(1)
  if (value === null) return 1
  if (typeof value === 'object') return { ...value, ageS: 4_001 }
  return (value as number) + 1
}

function bump(reading: Reading): Reading {
  return { ...reading, number: reading.number + 2, currentMa: null }
}

describe('tampering', () => {
  const readings = run(6).map((reading) => (reading.number > 7 ? bump(reading) : reading))
  const made = block(readings, [[8, 9]], { boot: 77, ageS: 4_000 })

  test('the untouched block verifies', () => {
    expect(verifyBlock(nodeCrypto, verifyKey, made)).toBe(true)
    expect(verifyBlock(crypto, crypto.verifyKey(key.publicKey), made)).toBe(true)
  })

  const fields = Object.keys(plainReading) as (keyof Reading)[]
  test.each(fields)('a changed %s in any reading is noticed', (field) => {
    for (const index of readings.keys()) {
      const copy = structuredClone(made)
      const reading = copy.readings[index] as unknown as Record<string, unknown>
      reading[field] = changed(reading[field])
      expect(verifyBlock(nodeCrypto, verifyKey, copy)).toBe(false)
    }
  })

  test.each(Object.keys(made.statement))('a changed %s in the statement is noticed', (field) => {
    const copy = structuredClone(made)
    const statement = copy.statement as unknown as Record<string, unknown>
    statement[field] = changed(statement[field])
    expect(verifyBlock(nodeCrypto, verifyKey, copy)).toBe(false)
    // The signature alone covers every field too, for registers that travel without readings.
    expect(verifyStatement(verifyKey, copy.statement, copy.signature)).toBe(false)
  })

  test('statement and readings changed together still need the key', () => {
    const forged = readings.map((reading) => ({ ...reading, importWh: reading.importWh + 1_000 }))
    const mine = nodeCrypto.signingKey(new Uint8Array(32).fill(9))
    const { deviceId, startImportWh, startExportWh, skipped } = made.statement
    const parts = { deviceId, previousChain, startImportWh, startExportWh, skipped }
    const other = buildBlock(nodeCrypto, mine, { ...parts, readings: forged })
    expect(() => checkBlockShape(nodeCrypto, other)).not.toThrow()
    expect(verifyBlock(nodeCrypto, verifyKey, other)).toBe(false)
    expect(verifyBlock(nodeCrypto, verifyKey, { ...other, signature: made.signature })).toBe(false)
  })

  test('dropping, repeating or swapping readings is noticed', () => {
    const [a, b] = made.readings as [Reading, Reading]
    const versions = [
      made.readings.slice(1),
      [...made.readings, a],
      [b, a, ...made.readings.slice(2)],
    ]
    for (const version of versions) {
      expect(verifyBlock(nodeCrypto, verifyKey, { ...made, readings: version })).toBe(false)
    }
  })
})

describe('register envelope', () => {
  const made = block(run(3))
  const envelope = registerEnvelope(made)

  test('is a COSE_Sign1 that carries the statement', () => {
    expect(verifyRegister(verifyKey, envelope)).toEqual(made.statement)
    expect(peekRegister(envelope)).toEqual(made.statement)
    const externalAad = utf8('fogmeter block 1')
    const { payload } = verifySign1(envelope, verifyKey, { externalAad })
    expect(payload).toEqual(encodeStatement(made.statement))
    expect(decodeStatement(payload)).toEqual(made.statement)
  })

  test('the signature is bound to its purpose', () => {
    expect(codeThrown(() => verifySign1(envelope, verifyKey, {}))).toBe('cose/bad-signature')
    expect(key.sign(statementToSign(made.statement))).toEqual(made.signature)
  })

  test('one flipped bit anywhere is refused with a code', () => {
    for (const at of envelope.keys()) {
      const flipped = mutate(envelope, [[at, 1 << (at % 8)]])
      expect(codeThrown(() => verifyRegister(verifyKey, flipped))).toMatch(/^(cose|cbor|reading)\//)
    }
  })
})

describe('sizes with real households', async () => {
  const days = await loadExcerpt()

  /** The readings of a house over one day, going on from some years of use. */
  function day(house: number): Reading[] {
    let registers = registersAt(18_234_567, 0)
    let number = 300_000
    return [...replayDay(days, house)].map((sample) => {
      const { powerW, voltageDv, currentMa } = sample
      registers = integrate(registers, powerW, 60)
      const { importWh, exportWh } = registers
      const timeS = 1_767_225_600 + 60 * sample.minute
      number += 1
      return { number, timeS, powerW, voltageDv, currentMa, importWh, exportWh, status: 8 }
    })
  }

  test('a report of 16 readings is at most 330 bytes', () => {
    let largest = 0
    for (const house of [0, 7, 20]) {
      const readings = day(house)
      for (let i = 1; i + 16 <= readings.length; i += 16) {
        const start = readings[i - 1]!
        const { importWh: startImportWh, exportWh: startExportWh } = start
        const parts = { deviceId: 'm', previousChain, startImportWh, startExportWh }
        const made = buildBlock(nodeCrypto, key, { ...parts, readings: readings.slice(i, i + 16) })
        largest = Math.max(largest, encodeBlock(made).length)
      }
    }
    expect(largest).toBeGreaterThan(200)
    expect(largest).toBeLessThanOrEqual(330)
  })

  test('a live reading is at most 19 bytes with numbers up to 2^32', () => {
    const readings = day(3).map((r) => ({ ...r, number: r.number + 4_000_000_000 }))
    const sizes = readings.slice(1).map((next, i) => {
      return encodeInts([1, ...encodeLive(readings[i]!, next)]).length
    })
    expect(Math.max(...sizes)).toBeLessThanOrEqual(19)
  })
})
