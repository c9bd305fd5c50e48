import { fileURLToPath } from 'node:url'
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { decode, encode, type CborValue } from '#cbor'
import { nodeCrypto } from '#crypto-node'
import {
  decodeDown,
  decodeItem,
  decodeUp,
  encodeDown,
  encodeItem,
  encodeItems,
  encodeUp,
  gapKinds,
  type Down,
  type Gap,
  type Item,
  type Summary,
  type Up,
} from '#messages'
import {
  buildBlock,
  decodeLive,
  encodeBlock,
  encodeLive,
  encodeReading,
  encodeStatement,
  firstChain,
  registerEnvelope,
  type Block,
} from '#reading'
import { cddlRules, cddlValidator } from '../check/cddl-validate.ts'
import { codeThrown, orRefused } from '../support/coded.ts'
import { anyReading, anyRun, plainReading } from '../support/readings.ts'

const cddlFile = fileURLToPath(new URL('../../libs/messages/fogmeter.cddl', import.meta.url))
const matches = cddlValidator(cddlFile)
const key = nodeCrypto.signingKey(new Uint8Array(32).fill(7))

const anyBlock: fc.Arbitrary<Block> = anyRun.map((run) => {
  const previousChain = firstChain(nodeCrypto, 'm')
  const parts = { deviceId: 'm', previousChain, startImportWh: 0, startExportWh: null }
  return buildBlock(nodeCrypto, key, { ...parts, ...run })
})

const uint = fc.maxSafeNat()
const number = fc.integer({ min: 1, max: 2 ** 40 })
const range = fc.tuple(number, number).map(([a, b]) => ({
  first: Math.min(a, b),
  last: Math.max(a, b),
}))
const bytes = fc.uint8Array({ maxLength: 200 })
const code = fc.stringMatching(/^[a-z0-9][a-z0-9/-]{0,63}$/)
const deviceId = fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9._-]{0,31}$/)

const anySummary: fc.Arbitrary<Summary> = fc
  .record({
    startS: fc.integer({ min: 0, max: 2 ** 33 }),
    lengthS: fc.integer({ min: 1, max: 86_400 }),
    revision: fc.nat(100),
    meters: fc.integer({ min: 1, max: 1_000 }),
    perMeter: fc.integer({ min: 1, max: 1_000 }),
    power: fc.tuple(fc.integer(), fc.integer()),
    powerSumW: fc.maxSafeInteger(),
    voltage: fc.option(fc.tuple(fc.nat(3_000), fc.nat(3_000))),
    importWh: uint,
    exportWh: uint,
    firstReceivedS: fc.option(fc.nat()),
  })
  .map((s) => ({
    startS: s.startS,
    endS: s.startS + s.lengthS,
    revision: s.revision,
    meters: s.meters,
    readings: s.meters * s.perMeter,
    powerSumW: s.powerSumW,
    powerMinW: Math.min(...s.power),
    powerMaxW: Math.max(...s.power),
    voltageSumDv: s.voltage === null ? 0 : s.voltage[0] + s.voltage[1],
    voltageCount: s.voltage === null ? 0 : 1,
    voltageMinDv: s.voltage === null ? null : Math.min(...s.voltage),
    voltageMaxDv: s.voltage === null ? null : Math.max(...s.voltage),
    importWh: s.importWh,
    exportWh: s.exportWh,
    quality: { estimated: 1, unknownTime: 0, substitute: s.meters },
    ...(s.firstReceivedS === null ? {} : { firstReceivedS: s.firstReceivedS }),
  }))

const anyEvent = fc.record({
  code,
  timeS: uint,
  deviceId: fc.option(deviceId),
  detail: fc.string({ unit: 'grapheme', maxLength: 60 }).filter(isShort),
})

function isShort(detail: string): boolean {
  return detail.isWellFormed() && Buffer.byteLength(detail) <= 512
}

const anyMachine = fc.record({
  clockSet: fc.boolean(),
  uptimeS: uint,
  temperatureDc: fc.option(fc.integer({ min: -1_000, max: 2_000 })),
  throttled: fc.option(fc.integer({ min: 0, max: 0xffff_ffff })),
  writtenBytes: fc.option(uint),
  diskBytes: fc.option(uint),
})

const plainStatus = fc.record({
  timeS: uint,
  uptimeS: uint,
  metersKnown: uint,
  metersOnline: uint,
  readings: uint,
  blocks: uint,
  refused: fc.dictionary(code, number, { maxKeys: 64 }),
  outbox: uint,
  storeBytes: uint,
  version: fc.constantFrom('0.1.0', ''),
})
const anyStatus = fc.oneof(
  plainStatus,
  fc.tuple(plainStatus, anyMachine).map(([one, machine]) => ({ ...one, machine })),
)

const anyGap = fc
  .record({
    deviceId: fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9._-]{0,31}$/),
    kind: fc.constantFrom(...gapKinds),
    range,
    startS: fc.option(uint),
    endS: fc.option(uint),
    readings: uint,
    importWh: fc.option(uint),
    exportWh: fc.option(uint),
  })
  .map(({ range: numbers, ...gap }): Gap => ({ ...gap, ...numbers }))

const anyItem: fc.Arbitrary<Item> = fc.oneof(
  bytes.map((cwt): Item => ({ type: 'credential', cwt })),
  anySummary.map((summary): Item => ({ type: 'summary', summary })),
  anyBlock.map((block): Item => ({
    type: 'register',
    envelope: registerEnvelope(block),
  })),
  fc
    .tuple(anyBlock, number)
    .map(([block, from]): Item => ({ type: 'register', envelope: registerEnvelope(block), from })),
  fc.tuple(anyBlock, range).map(([block, { first: from, last: withdrawn }]): Item => ({
    type: 'register',
    envelope: registerEnvelope(block),
    from,
    withdrawn,
  })),
  fc
    .tuple(range, deviceId, uint, uint, uint)
    .map(([{ first, last }, name, readings, importWh, exportWh]): Item => {
      const parts = { first, through: last, readings, importWh, exportWh }
      return { type: 'withdrawn', withdrawn: { deviceId: name, ...parts } }
    }),
  anyEvent.map((event): Item => ({ type: 'event', event })),
  anyStatus.map((status): Item => ({ type: 'fogStatus', status })),
  anyGap.map((gap): Item => ({ type: 'gap', gap })),
)

const anyUp: fc.Arbitrary<Up> = fc.oneof(
  range.map((r): Up => ({ type: 'hello', oldestHeld: r.first, next: r.last })),
  fc
    .tuple(range, number)
    .map(([r, store]): Up => ({ type: 'hello', oldestHeld: r.first, next: r.last, store })),
  fc.tuple(anyReading, anyReading).map(([a, b]): Up => {
    const values = encodeLive({ ...a, number: 1 }, { ...b, number: Math.max(2, b.number) })
    return { type: 'live', values }
  }),
  anyBlock.map((block): Up => {
    const { first, last, skipped, anchor } = block.statement
    const rest = anchor === undefined ? {} : { anchor }
    return { type: 'block', first, last, skipped, signature: block.signature, ...rest }
  }),
  anyBlock.map((block): Up => ({ type: 'report', body: encodeBlock(block) })),
  anyBlock.map((block): Up => ({ type: 'report', body: encodeBlock({ ...block, readings: [] }) })),
  fc
    .tuple(number, fc.array(anyItem, { minLength: 1, maxLength: 30 }))
    .map(([first, items]): Up => ({ type: 'items', first, items })),
  fc.tuple(range, anyItem).map(([{ first, last }, item]): Up => {
    return { type: 'items', first: last + 1, items: [item], gapFrom: first }
  }),
  anyReading.map((reading): Up => ({ type: 'reading', reading })),
  bytes.map((cwt): Up => ({ type: 'credential', cwt })),
)

const anyDown: fc.Arbitrary<Down> = fc.oneof(
  uint.map((durable): Down => ({ type: 'welcome', durable })),
  fc
    .tuple(uint, fc.uint8Array({ minLength: 8, maxLength: 8 }), fc.constantFrom(0, 8))
    .map(([durable, database, length]): Down => {
      return { type: 'welcome', durable, database, newest: database.slice(0, length) }
    }),
  uint.map((durable): Down => ({ type: 'receipt', durable })),
  fc.tuple(range, code).map(([r, name]): Down => ({ type: 'refused', ...r, code: name })),
  number.map((from): Down => ({ type: 'resend', from })),
  bytes.map((list): Down => ({ type: 'revocations', list })),
  code.map((name): Down => ({ type: 'ended', code: name })),
  fc.tuple(range, deviceId).map(([{ first, last }, name]): Down => {
    return { type: 'withdraw', deviceId: name, first, through: last }
  }),
  deviceId.map((name): Down => ({ type: 'unknown', deviceId: name })),
)

/** What is left of a window when everything in it was withdrawn. */
function emptySummary(changes: Partial<Summary>): Item {
  const nothing = { meters: 0, readings: 0, powerSumW: 0, powerMinW: 0, powerMaxW: 0 }
  const voltage = { voltageSumDv: 0, voltageCount: 0, voltageMinDv: null, voltageMaxDv: null }
  const rest = {
    importWh: 0,
    exportWh: 0,
    quality: { estimated: 0, unknownTime: 0, substitute: 0 },
  }
  const window = { startS: 900, endS: 1_800, revision: 1 }
  return { type: 'summary', summary: { ...window, ...nothing, ...voltage, ...rest, ...changes } }
}

describe('messages', () => {
  test('up messages come back the same and follow the CDDL', () => {
    fc.assert(
      fc.property(anyUp, (message) => {
        const encoded = encodeUp(message)
        expect(decodeUp(encoded)).toEqual(message)
        expect(matches('up', decode(encoded))).toBe(true)
      }),
      { numRuns: 300 },
    )
  })

  test('down messages come back the same and follow the CDDL', () => {
    fc.assert(
      fc.property(anyDown, (message) => {
        const encoded = encodeDown(message)
        expect(decodeDown(encoded)).toEqual(message)
        expect(matches('down', decode(encoded))).toBe(true)
      }),
    )
  })

  test('items come back the same and follow the CDDL', () => {
    fc.assert(
      fc.property(anyItem, (item) => {
        const encoded = encodeItem(item)
        expect(decodeItem(encoded)).toEqual(item)
        expect(matches('item', decode(encoded))).toBe(true)
      }),
    )
  })

  test('what travels inside byte strings follows the CDDL', () => {
    fc.assert(
      fc.property(anyBlock, (block) => {
        const report = decode(encodeUp({ type: 'report', body: encodeBlock(block) })) as CborValue[]
        expect(matches('block-values', decode(report[4] as Uint8Array))).toBe(true)
        expect(matches('register', decode(registerEnvelope(block)))).toBe(true)
        expect(matches('statement', decode(encodeStatement(block.statement)))).toBe(true)
        expect(matches('reading', decode(encodeReading(block.readings[0]!)))).toBe(true)
      }),
    )
  })

  test('a live reading goes from meter to fog through both codecs', () => {
    const next = { ...plainReading, number: 6, timeS: plainReading.timeS + 60, importWh: 1_234_574 }
    const message = decodeUp(encodeUp({ type: 'live', values: encodeLive(plainReading, next) }))
    if (message.type !== 'live') throw new Error(`decoded as ${message.type}`)
    expect(decodeLive(plainReading, message.values)).toEqual(next)
  })

  test('an unreadable item keeps its place and names the reason', () => {
    const good: Item = { type: 'credential', cwt: new Uint8Array(3) }
    const message = encodeItems(9, [encodeItem(good), encode([1, 2, 3]), encode([99]), encode(7)])
    const reason = { type: 'unreadable', code: 'messages/malformed' }
    const items = [good, reason, reason, reason]
    expect(decodeUp(message)).toEqual({ type: 'items', first: 9, items })
  })

  test('a later revision may be empty', () => {
    const item = emptySummary({ revision: 3 })
    expect(decodeItem(encodeItem(item))).toEqual(item)
    expect(matches('item', decode(encodeItem(item)))).toBe(true)
  })

  test('a message holds 1 to 128 items', () => {
    const item = encodeItem({ type: 'credential', cwt: new Uint8Array(3) })
    const many = (count: number) => Array.from({ length: count }, () => item)
    for (const count of [1, 23, 24, 128]) {
      const message = decodeUp(encodeItems(1, many(count)))
      expect(message.type === 'items' && message.items.length).toBe(count)
    }
    expect(codeThrown(() => encodeItems(1, []))).toBe('messages/malformed')
    expect(codeThrown(() => encodeItems(1, many(129)))).toBe('messages/malformed')
  })
})

const reason = (text: string): CborValue => [text, 1]
const reasons = (count: number) =>
  Array.from({ length: count }, (_, index) => reason(`r${String(index).padStart(3, '0')}`))
const status = (refused: CborValue) => encode([4, 1, 2, 3, 4, 5, 6, refused, 8, 9, '0.1.0'])

const withMachine = (...machine: CborValue[]) =>
  encode([4, 1, 2, 3, 4, 5, 6, [], 8, 9, '0.1.0', machine])

describe('the machine of a fog node', () => {
  test.each<[string, CborValue[], boolean]>([
    ['all of it', [true, 1, 423, 0x5_0005, 2, 3], true],
    ['that tells nothing', [false, 0, null, null, null, null], true],
    ['colder than anything', [true, 1, -1_001, 0, 2, 3], false],
    ['hotter than anything', [true, 1, 2_001, 0, 2, 3], false],
    ['more bits than there are', [true, 1, 0, 2 ** 32, 2, 3], false],
    ['a clock that is a number', [1, 1, 0, 0, 2, 3], false],
    ['without an uptime', [true, null, 0, 0, 2, 3], false],
    ['too short', [true, 1, 0, 0, 2], false],
  ])('%s: %j', (_, machine, good) => {
    const item = withMachine(...machine)
    expect(matches('item', decode(item))).toBe(good)
    expect(codeThrown(() => decodeItem(item))).toBe(good ? 'nothing thrown' : 'messages/malformed')
  })
})

describe('refusals of a fog node, by reason', () => {
  test('are the same bytes in whatever order they were counted', () => {
    const [one, other] = [
      { early: 1, conflict: 2 },
      { conflict: 2, early: 1 },
    ].map((refused) => {
      const rest = { timeS: 1, uptimeS: 2, metersKnown: 3, metersOnline: 4, readings: 5, blocks: 6 }
      const end = { outbox: 8, storeBytes: 9, version: '0.1.0' }
      return encodeItem({ type: 'fogStatus', status: { ...rest, refused, ...end } })
    })
    expect(one).toEqual(other)
    expect(one).toEqual(status([['conflict', 2], reason('early')]))
  })

  test('up to 64 reasons, in the decoder as in the CDDL', () => {
    expect(decodeItem(status(reasons(64)))).toMatchObject({ type: 'fogStatus' })
    expect([64, 65].map((count) => matches('item', decode(status(reasons(count)))))).toEqual([
      true,
      false,
    ])
  })
})

describe('wrong messages', () => {
  const summary = fc.sample(anySummary, { numRuns: 1, seed: 3 })[0]!
  const changedSummary = (change: Partial<Summary>) => () =>
    encodeItem({ type: 'summary', summary: { ...summary, ...change } })

  test.each<[string, () => unknown]>([
    ['up: a type that does not exist', () => decodeUp(encode([9, 1]))],
    ['up: no array', () => decodeUp(encode('hello'))],
    ['up: nothing', () => decodeUp(new Uint8Array(0))],
    ['up: a float-like type', () => decodeUp(encode(['0', 1, 1]))],
    ['hello: a field missing', () => decodeUp(encode([0, 1]))],
    ['hello: a field too many', () => decodeUp(encode([0, 1, 2, 3, 4]))],
    ['hello: a store without number', () => decodeUp(encode([0, 1, 2, 0]))],
    ['hello: numbers from 0', () => decodeUp(encode([0, 0, 1]))],
    ['hello: oldest after next', () => decodeUp(encode([0, 2, 1]))],
    ['block: backwards', () => decodeUp(encode([2, 5, 4, [], new Uint8Array(64)]))],
    ['block: short signature', () => decodeUp(encode([2, 4, 5, [], new Uint8Array(63)]))],
    [
      'block: ranges out of order',
      () =>
        decodeUp(
          encode([
            2,
            4,
            9,
            [
              [7, 7],
              [5, 5],
            ],
            new Uint8Array(64),
          ]),
        ),
    ],
    ['block: half an anchor', () => decodeUp(encode([2, 4, 5, [], new Uint8Array(64), [1]]))],
    [
      'block: an age before the boot',
      () => decodeUp(encode([2, 4, 5, [], new Uint8Array(64), [1, -1]])),
    ],
    ['report: an element too many', () => decodeUp(encode([3, 1, 2, 3, 4, 5, 6]))],
    ['report: wrong length', () => decodeUp(encode([3, 1, 2]))],
    ['items: none', () => decodeUp(encode([4, 1, []]))],
    ['items: numbers run out', () => decodeUp(encode([4, Number.MAX_SAFE_INTEGER, [1]]))],
    ['reading: a value missing', () => decodeUp(encode([5, 1, 2, 3, 4, 5, 6, 7]))],
    ['reading: null power', () => decodeUp(encode([5, 1, 2, null, 4, 5, 6, 7, 0]))],
    ['down: a type that does not exist', () => decodeDown(encode([9, 1]))],
    ['withdraw: backwards', () => decodeDown(encode([6, 'm', 2, 1]))],
    ['withdrawn: backwards', () => decodeItem(encode([5, 'm', 2, 1, 0, 0, 0]))],
    ['down: an up message', () => decodeDown(encode([0, 1, 2]))],
    ['welcome: negative', () => decodeDown(encode([0, -1]))],
    ['refused: a code with spaces', () => decodeDown(encode([2, 1, 2, 'no thanks']))],
    ['refused: backwards', () => encodeDown({ type: 'refused', first: 2, last: 1, code: 'x' })],
    ['revocations: text', () => decodeDown(encode([4, 'x']))],
    ['gap: backwards', () => decodeItem(encode([6, 'm', 0, 2, 1, null, null, 0, null, null]))],
    [
      'gap: a kind nobody knows',
      () => decodeItem(encode([6, 'm', 7, 1, 1, null, null, 0, null, null])),
    ],
    ['gap: negative energy', () => decodeItem(encode([6, 'm', 0, 1, 1, null, null, 0, -1, null]))],
    ['summary: no length', changedSummary({ endS: summary.startS })],
    ['summary: more meters than readings', changedSummary({ meters: summary.readings + 1 })],
    ['summary: no reading', changedSummary({ readings: 0 })],
    ['summary: nothing in a first revision', () => encodeItem(emptySummary({ revision: 0 }))],
    ['summary: energy of nobody', () => encodeItem(emptySummary({ importWh: 1 }))],
    ['summary: voltage without count', changedSummary({ voltageCount: 0, voltageMinDv: 1 })],
    ['summary: minimum above maximum', changedSummary({ powerMinW: 2, powerMaxW: 1 })],
    ['summary: negative energy', changedSummary({ importWh: -1 })],
    ['status: a reason twice', () => decodeItem(status([reason('a'), reason('a')]))],
    ['status: reasons out of order', () => decodeItem(status([reason('b'), reason('a')]))],
    ['status: a reason without refusals', () => decodeItem(status([['a', 0]]))],
    ['status: a reason that is no code', () => decodeItem(status([reason('A b')]))],
    ['status: the number of refusals alone', () => decodeItem(status(3))],
    ['status: 65 reasons', () => decodeItem(status(reasons(65)))],
  ])('%s', (_, action) => {
    expect(codeThrown(action)).toMatch(/^(messages|cbor|reading)\//)
  })

  test('an event text over 512 bytes is refused, in characters or in bytes', () => {
    const event = { code: 'gap', timeS: 0, deviceId: null }
    const encodeText = (detail: string) =>
      encodeItem({ type: 'event', event: { ...event, detail } })
    expect(() => encodeText('é'.repeat(256))).not.toThrow()
    expect(codeThrown(() => encodeText('é'.repeat(257)))).toBe('messages/malformed')
    expect(codeThrown(() => encodeText('x'.repeat(513)))).toBe('messages/malformed')
  })

  test('noise and damaged messages give coded errors only', () => {
    const message = fc.oneof(anyUp.map(encodeUp), anyDown.map(encodeDown))
    const damaged = fc
      .tuple(message, fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 4 }))
      .map(([encoded, flips]) => {
        for (const [at, mask] of flips) encoded[at % encoded.length]! ^= mask
        return encoded
      })
    fc.assert(
      fc.property(fc.oneof(damaged, fc.uint8Array({ maxLength: 60 })), (input) => {
        for (const decodeAny of [decodeUp, decodeDown, decodeItem]) {
          expect(() => orRefused(() => decodeAny(input))).not.toThrow()
        }
      }),
      { numRuns: 500 },
    )
  })
})

describe('the CDDL can say no', () => {
  const block = fc.sample(anyBlock, { numRuns: 1, seed: 5 })[0]!
  const good: [string, CborValue][] = [
    ['up', [0, 1, 2]],
    ['up', [1, 7, 60, 431, -2, null, 7]],
    ['up', [2, 1, 9, [[3, 4]], new Uint8Array(64)]],
    ['up', decode(encodeUp({ type: 'report', body: encodeBlock(block) }))],
    ['up', [4, 1, [[0, new Uint8Array(1)]]]],
    ['up', [5, 1, 2, 3, null, null, 6, 7, 0]],
    ['down', [0, 0]],
    ['down', [2, 1, 2, 'reading/bad-value']],
    ['down', [3, 1]],
    ['down', [4, new Uint8Array(1)]],
    ['down', [6, 'meter-1', 1, 2]],
    ['item', [5, 'meter-1', 1, 2, 3, 4, 5]],
    ['item', [3, 'gap', 0, null, '']],
    ['register', decode(registerEnvelope(block))],
    ['statement', decode(encodeStatement(block.statement))],
    ['block-values', [0, 0, 1, 2, 3, null, null, 6, 7, 0, 0, 1, null, 1, 1, 1, 0]],
  ]

  test.each(good)('%s %j is accepted, and nothing near it', (rule, value) => {
    expect(matches(rule, value)).toBe(true)
    const elements = value as CborValue[]
    // A list may be empty or have one more equal element; everything else must be exact.
    expect(matches(rule, [...elements, 'one too many'])).toBe(false)
    expect(matches(rule, elements.slice(0, 1))).toBe(false)
    for (const index of elements.keys()) {
      expect(matches(rule, elements.with(index, true))).toBe(false)
    }
    expect(matches(rule, new Map())).toBe(false)
    expect(matches(rule, null)).toBe(false)
  })

  test.each<[string, CborValue]>([
    ['up', [0, 0, 1]],
    ['up', [1, 7, 60, 431, -2, null]],
    ['up', [2, 1, 9, [[3]], new Uint8Array(64)]],
    ['up', [2, 1, 9, [], new Uint8Array(63)]],
    ['up', [4, 1, []]],
    ['up', [4, 1, [[9]]]],
    ['up', [5, 1, 2, 1_000_000_001, null, null, 6, 7, 0]],
    ['up', [5, 1, 2, 3, null, null, -6, 7, 0]],
    ['down', [0, -1]],
    ['down', [2, 1, 2, 'Spaces in it']],
    ['item', [3, 'gap', 0, null, 'x'.repeat(513)]],
    ['item', [3, 'gap', 0, 'device/1', '']],
    ['register', [new Uint8Array(3), new Map([[1, 2]]), new Uint8Array(1), new Uint8Array(64)]],
    ['block-values', [0, 0, 1, 2, 3, null, null, 6, 7, 0, 0, 1, null, 1, 1, 1]],
  ])('%s %j is refused', (rule, value) => {
    expect(matches(rule, value)).toBe(false)
  })

  test('a rule that does not exist is an error', () => {
    expect(() => matches('no-such-rule', 1)).toThrow('no-such-rule')
    expect(cddlRules(cddlFile)).toContain('up')
  })
})
