import { describe, expect, test } from 'vitest'
import * as fc from 'fast-check'
import { nodeCrypto } from '#crypto-node'
import type { OutboxItem } from '#delivery'
import { codeOf } from '#errors'
import { encodeDown, type Down } from '#messages'
import { memoryMeter } from '../support/memory-meter.ts'
import { createModelFog } from '../support/model-fog.ts'
import { createMeter, meterDefaults } from '#meter'
import type { Measurement, Meter, MeterEvent, MeterSettings } from '#meter'
import {
  chain,
  decodeBlock,
  firstChain,
  status,
  timeQuality,
  verifyStatement,
  type Block,
} from '#reading'

const deviceId = 'meter-1'
const key = nodeCrypto.signingKey(new Uint8Array(32).fill(7))
const verifyKey = nodeCrypto.verifyKey(key.publicKey)
/** A time far from any 15-minute boundary: 100 s after one. */
const START_S = 1_800_000_000 + 100

function handClock() {
  let ms = 0
  return { now: () => ms, monotonic: () => ms, advance: (by: number) => void (ms += by) }
}

function setup(settings: Partial<MeterSettings> = {}, box = memoryMeter()) {
  const clock = handClock()
  const events: MeterEvent[] = []
  const open = () =>
    createMeter({
      crypto: nodeCrypto,
      key,
      deviceId,
      clock,
      store: box.store,
      settings: { ...meterDefaults, mode: 'block', ...settings },
      onEvent: (event) => events.push(event),
    })
  return { clock, box, events, open, meter: open() }
}

const at = (seconds: number, powerW = 600, more: Partial<Measurement> = {}): Measurement => ({
  timeS: START_S + seconds,
  powerW,
  voltageDv: 2301,
  ...more,
})

const blocksOf = (items: readonly OutboxItem[]): Block[] =>
  items.map((item) => decodeBlock(nodeCrypto, item.body, deviceId))

function expectChained(blocks: readonly Block[]): void {
  let expected = firstChain(nodeCrypto, deviceId)
  let next = 1
  for (const { statement, signature } of blocks) {
    expect(verifyStatement(verifyKey, statement, signature)).toBe(true)
    expect(statement.previousChain).toEqual(expected)
    expect(statement.first).toBe(next)
    expected = statement.chain
    next = statement.last + 1
  }
}

describe('blocks', () => {
  test('end with maxReadings, and verify', () => {
    const { meter, box } = setup({ maxReadings: 3 })
    for (let i = 0; i < 7; i++) meter.measure(at(i * 10))
    const blocks = blocksOf(box.disk().blocks)
    expect(blocks.map((block) => block.statement.last)).toEqual([3, 6])
    expectChained(blocks)
    expect(meter.status()).toMatchObject({ newestNumber: 7, sealedThrough: 6, openReadings: 1 })
  })

  test('end by age on the monotonic clock, in tick', () => {
    const { meter, box, clock } = setup({ maxSeconds: 60 })
    meter.measure(at(0))
    clock.advance(59_999)
    meter.tick()
    expect(box.disk().blocks).toHaveLength(0)
    clock.advance(1)
    meter.tick()
    expect(box.disk().blocks).toHaveLength(1)
  })

  test.each([
    ['a reading on the boundary ends its block', [700, 800, 801], [[1, 2]]],
    ['a reading after the boundary begins a new one', [700, 801], [[1, 1]]],
    [
      'one on the next boundary closes both',
      [700, 1700],
      [
        [1, 1],
        [2, 2],
      ],
    ],
    ['a clock that steps back over a boundary begins a new one', [801, 700], [[1, 1]]],
    ['readings between boundaries stay together', [100, 799], []],
  ])('%s', (_, seconds, ranges) => {
    const { meter, box } = setup()
    for (const second of seconds) meter.measure(at(second))
    expect(box.disk().blocks.map((block) => [block.first, block.last])).toEqual(ranges)
  })

  test('an open block goes on after a restart, on the same chain', () => {
    const { meter, box, open } = setup({ maxReadings: 4 })
    meter.measure(at(0))
    meter.measure(at(10))
    const again = open()
    again.measure(at(20))
    again.measure(at(30))
    const blocks = blocksOf(box.disk().blocks)
    expect(blocks.map((block) => block.readings.map((r) => r.number))).toEqual([[1, 2, 3, 4]])
    expectChained(blocks)
  })

  test('numbers a store reserved and lost are declared as skipped', () => {
    const { meter, box, open } = setup({ maxReadings: 2 })
    meter.measure(at(0))
    box.reserveThrough(9)
    const again = open()
    again.measure(at(10))
    again.measure(at(20))
    again.measure(at(30))
    const blocks = blocksOf(box.disk().blocks)
    expect(blocks[0]?.statement).toMatchObject({ first: 1, last: 10, skipped: [[2, 9]] })
    expectChained(blocks)
  })
})

function registersOf(meter: Meter): number[] {
  const { importWh, exportWh } = meter.status()
  return [importWh, exportWh]
}

describe('registers', () => {
  test('power is integrated to the watt-second, both ways, across restarts', () => {
    const { meter, open } = setup()
    meter.measure(at(0, 999_999)) // nothing before it: no interval to count
    meter.measure(at(1, 1_800))
    const again = open()
    again.measure(at(2, 1_799))
    expect(registersOf(again)).toEqual([0, 0])
    again.measure(at(3, 1))
    again.measure(at(4, -7_200))
    expect(registersOf(again)).toEqual([1, 2])
  })

  test('a silence is not filled with energy, and says so', () => {
    const { meter, events, box } = setup({ maxGapSeconds: 900 })
    meter.measure(at(0))
    meter.measure(at(901, 3_600))
    meter.measure(at(1_801, 3_600))
    meter.closeBlock()
    expect(registersOf(meter)).toEqual([900, 0])
    expect(events).toEqual([{ type: 'register', what: 'gap', number: 2 }])
    const words = blocksOf(box.disk().blocks).flatMap((b) => b.readings.map((r) => r.status))
    expect(words.map((word) => (word & status.substitute) !== 0)).toEqual([false, true, false])
    expect(words.every((word) => (word & status.integratedRegister) !== 0)).toBe(true)
  })

  test.each([
    ['plain growth', [100, 150, 175], [100, 150, 175], []],
    ['a transient zero is no spike', [100, 0, 110], [100, 100, 110], ['held']],
    [
      'zeros for long are no reset',
      [100, 0, 0, 0, 0, 0, 120],
      [100, 100, 100, 100, 100, 100, 120],
      ['held', 'held', 'held', 'held', 'held'],
    ],
    ['an old value for a moment', [100, 90, 101], [100, 100, 101], ['held']],
    [
      'a reset, believed at the third reading',
      [100, 5, 6, 8, 9],
      [100, 100, 100, 103, 104],
      ['held', 'held', 'reset'],
    ],
    ['a rollover', [99_990, 5], [99_990, 100_005], ['rollover']],
  ])('%s', (_, raw, fused, what) => {
    const { meter, events } = setup({ rolloverWh: raw[0] === 99_990 ? 100_000 : null })
    const seen = raw.map((importWh, i) => {
      meter.measure(at(i * 10, 600, { importWh }))
      return meter.status().importWh
    })
    expect(seen).toEqual(fused)
    expect(events.map((event) => 'what' in event && event.what)).toEqual(what)
  })

  test('a replaced meter goes on from its own value', () => {
    const { meter, box } = setup({ maxReadings: 3 })
    meter.measure(at(0, 600, { importWh: 5_000, exportWh: 10 }))
    meter.measure(at(10, 600, { importWh: 3, exportWh: 0, replaced: true }))
    meter.measure(at(20, 600, { importWh: 8, exportWh: 1 }))
    expect(registersOf(meter)).toEqual([5_005, 11])
    const words = blocksOf(box.disk().blocks)[0]!.readings.map((r) => r.status)
    expect(words).toEqual([0, status.meterReplaced | status.registerContinued, 0])
  })

  test('registers left out once are waited for, not integrated twice', () => {
    const { meter } = setup()
    meter.measure(at(0, 3_600, { importWh: 100 }))
    meter.measure(at(60, 3_600))
    meter.measure(at(120, 3_600, { importWh: 220 }))
    expect(registersOf(meter)).toEqual([220, 0])
  })

  test('time quality and further flags reach the reading', () => {
    const { meter, box } = setup({ maxReadings: 1 })
    meter.measure(
      at(0, 1, { timeQuality: timeQuality.unknown, status: status.tamper, importWh: 1 }),
    )
    expect(blocksOf(box.disk().blocks)[0]?.readings[0]?.status).toBe(2 | status.tamper)
  })

  test('nonsense is refused and changes nothing', () => {
    const { meter } = setup()
    meter.measure(at(0, 1, { importWh: 7 }))
    expect(() => meter.measure(at(1, 1.5))).toThrow(/powerW/)
    expect(() => meter.measure(at(1, 1, { importWh: -1 }))).toThrow(/importWh/)
    expect(meter.status()).toMatchObject({ newestNumber: 1, importWh: 7 })
  })
})

describe('limits', () => {
  test('a full outbox refuses readings, counts energy on, and recovers', () => {
    const { meter, box } = setup({ maxReadings: 1, maxBlocks: 1, maxStatements: 1 })
    meter.measure(at(0, 3_600))
    meter.measure(at(1, 3_600))
    expect(() => meter.measure(at(2, 3_600))).toThrow(
      expect.objectContaining({ code: 'meter/outbox-full' }),
    )
    expect(meter.status()).toMatchObject({ newestNumber: 2, refusedMeasurements: 1 })
    box.store.dropThrough(2)
    meter.measure(at(3, 3_600))
    expect(meter.status()).toMatchObject({ newestNumber: 3, importWh: 3 })
  })

  test('above the limit the oldest readings go, their statements stay and say which they were', () => {
    const { meter, box, events } = setup({ maxReadings: 3, maxBlocks: 2 })
    for (let i = 0; i < 12; i++) meter.measure(at(i * 10, 3_600))
    const blocks = blocksOf(box.disk().blocks)
    expectChained(blocks)
    expect(blocks.map(({ statement: s, readings }) => [s.first, s.last, readings.length])).toEqual([
      [1, 3, 0],
      [4, 6, 0],
      [7, 9, 3],
      [10, 12, 3],
    ])
    expect(blocks[1]?.statement.endImportWh).toBe(50)
    expect(meter.status()).toMatchObject({
      outboxBlocks: 4,
      outboxStatements: 2,
      readingsGivenUp: 6,
    })
    expect(events).toEqual([
      { type: 'readings-given-up', first: 1, last: 3, times: 1 },
      { type: 'readings-given-up', first: 4, last: 6, times: 2 },
    ])
  })

  test('a disk that fails leaves the meter as the store has it', () => {
    const { meter, box } = setup({ maxReadings: 2 })
    meter.measure(at(0))
    box.failAfter(1) // the reading goes in, the signed block does not
    expect(() => meter.measure(at(10))).toThrow(/disk is full/)
    expect(meter.status()).toMatchObject({ newestNumber: 1, openReadings: 1, sealedThrough: 0 })
    expect(meter.needsReconnect()).toBe(true)
    box.repair()
    meter.measure(at(10))
    expectChained(blocksOf(box.disk().blocks))
  })

  test('a damaged store is an error with a code', () => {
    const { box, open } = setup()
    box.store.append(1, new Uint8Array([1, 2, 3]))
    expect(open).toThrow(expect.objectContaining({ code: 'meter/store-damaged' }))
  })
})

/** A meter and a fog joined by two queues. */
function world(settings: Partial<MeterSettings>) {
  const parts = setup(settings)
  const fog = createModelFog(deviceId, verifyKey)
  let meter = parts.meter
  let up: Uint8Array[] = []
  let down: Uint8Array[] = []
  const send = (payloads: Uint8Array[]) => up.push(...payloads)
  const answer = (replies: Down[]) => down.push(...replies.map(encodeDown))
  function connect(): void {
    meter.onClosed()
    up = []
    down = []
    send(meter.onOpen())
  }
  return {
    ...parts,
    fog,
    meter: () => meter,
    send,
    connect,
    crash() {
      meter = parts.open()
      connect()
    },
    moveUp(fate: number) {
      const payload = up.shift()
      if (payload === undefined) return
      for (let i = 0; i < fate; i++) answer(fog.receive(payload))
    },
    moveDown(fate: number) {
      const payload = down.shift()
      if (payload === undefined) return
      for (let i = 0; i < fate; i++) send(meter.onMessage(payload))
    },
    commit: () => answer(fog.commit()),
    /** Carries everything to and fro until nothing is under way. */
    settle() {
      for (let i = 0; i < 10_000 && up.length + down.length > 0; i++) {
        while (up.length > 0) this.moveUp(1)
        this.commit()
        while (down.length > 0) this.moveDown(1)
      }
    },
  }
}

describe('live mode', () => {
  test('every reading at once, one signature at the end of the block, no report', () => {
    const w = world({ mode: 'live', maxReadings: 4 })
    w.connect()
    w.settle()
    for (let i = 0; i < 8; i++) {
      w.send(w.meter().measure(at(i * 10, 500 + i)))
      w.settle()
    }
    expect(w.fog.kinds).toEqual({ hello: 1, reading: 1, live: 7, block: 2 })
    expect(w.meter().drained()).toBe(true)
    expectChained(w.fog.durable)
  })

  test('a reconnect mid-block: the open readings again, still only a signature', () => {
    const w = world({ mode: 'live', maxReadings: 4 })
    w.connect()
    w.settle()
    w.send(w.meter().measure(at(0)))
    w.send(w.meter().measure(at(10)))
    w.settle()
    w.connect()
    w.settle()
    w.send(w.meter().measure(at(20)))
    w.send(w.meter().measure(at(30)))
    w.settle()
    expect(w.fog.kinds).toEqual({ hello: 2, reading: 2, live: 4, block: 1 })
    expect(w.meter().drained()).toBe(true)
  })

  test('blocks made offline go as reports, then live starts', () => {
    const w = world({ mode: 'live', maxReadings: 2 })
    for (let i = 0; i < 5; i++) w.meter().measure(at(i * 10))
    w.connect()
    w.settle()
    w.send(w.meter().measure(at(50)))
    w.settle()
    expect(w.fog.kinds).toEqual({ hello: 1, report: 2, reading: 1, live: 1, block: 1 })
    expectChained(w.fog.durable)
  })

  test('a lost live message costs one report at most', () => {
    const w = world({ mode: 'live', maxReadings: 4 })
    w.connect()
    w.settle()
    for (let i = 0; i < 8; i++) {
      w.send(w.meter().measure(at(i * 10)))
      if (i === 1) w.moveUp(0)
      w.settle()
      w.clock.advance(1_000)
      w.send(w.meter().tick())
      w.settle()
    }
    expect(w.meter().drained()).toBe(true)
    expect(w.fog.kinds.report ?? 0).toBeLessThanOrEqual(1)
    expectChained(w.fog.durable)
  })
})

test('a welcome above our numbers (store restored from a copy) moves on without reusing one', () => {
  const w = world({ maxReadings: 2 })
  for (let i = 0; i < 3; i++) w.meter().measure(at(i * 10))
  const copy = w.box.copy()
  for (let i = 3; i < 8; i++) w.meter().measure(at(i * 10))
  w.connect()
  w.settle()
  w.box.restore(copy)
  w.crash()
  w.settle()
  w.send(w.meter().measure(at(100)))
  expect(w.events).toContainEqual({ type: 'numbers-raised', to: 9, readingsGivenUp: 1 })
  expect(w.meter().status()).toMatchObject({ newestNumber: 9 })
})

type Step =
  | { do: 'measure'; dtS: number; powerW: number }
  | { do: 'up' | 'down'; fate: number }
  | { do: 'commit' | 'crash' | 'reconnect' | 'fogRestart' }
  | { do: 'wait'; ms: number }
  | { do: 'diskFails'; after: number }

/** 0 is lost; there is no "twice", since records that arrive twice are refused below us (#record). */
const fate = fc.constantFrom(1, 1, 1, 1, 0)
const measureArbitrary = fc.record({
  do: fc.constant('measure' as const),
  dtS: fc.integer({ min: 0, max: 120 }),
  powerW: fc.integer({ min: -5_000, max: 9_000 }),
})
const stepArbitrary: fc.Arbitrary<Step> = fc.oneof(
  { weight: 8, arbitrary: measureArbitrary },
  {
    weight: 12,
    arbitrary: fc.record({ do: fc.constantFrom('up' as const, 'down' as const), fate }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('commit' as const) }) },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constantFrom('crash' as const, 'reconnect' as const, 'fogRestart' as const),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('wait' as const),
      ms: fc.integer({ min: 100, max: 70_000 }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('diskFails' as const),
      after: fc.integer({ min: 0, max: 1 }),
    }),
  },
)

/** Single steps, and now and then measurements of a time in which nothing gets through. */
const historyArbitrary = fc
  .array(
    fc.oneof(
      { weight: 30, arbitrary: stepArbitrary.map((step): Step[] => [step]) },
      { weight: 1, arbitrary: fc.array(measureArbitrary, { minLength: 15, maxLength: 25 }) },
    ),
    { maxLength: 120 },
  )
  .map((steps): Step[] => steps.flat())

test.each([
  ['live', 1_000],
  ['block', 1_000],
  ['live', 2],
  ['block', 2],
  ['block', 1],
] as const)(
  '%s mode with room for %i blocks, crashes anywhere: numbers, chain, registers and energy hold',
  (mode, maxBlocks) => {
    let givenUp = 0
    fc.assert(
      fc.property(historyArbitrary, (steps) => {
        const limits = { maxReadings: 5, boundarySeconds: 300, windowItems: 3, maxBlocks }
        const w = world({ mode, ...limits })
        let timeS = START_S
        let accepted: { timeS: number; powerW: number }[] = []
        w.connect()
        for (const step of steps) {
          if (step.do === 'measure') {
            const m = { timeS: timeS + step.dtS, powerW: step.powerW }
            try {
              w.send(w.meter().measure(m))
              accepted = [...accepted, m]
              timeS = m.timeS
            } catch (error) {
              if (codeOf(error) !== 'sqlite/full') throw error
              w.box.repair()
            }
          } else if (step.do === 'up') w.moveUp(step.fate)
          else if (step.do === 'down') w.moveDown(step.fate)
          else if (step.do === 'commit') w.commit()
          else if (step.do === 'crash') w.crash()
          else if (step.do === 'wait') w.clock.advance(step.ms)
          else if (step.do === 'diskFails') w.box.failAfter(step.after)
          else if (step.do === 'fogRestart') w.fog.restart()
          if (step.do === 'reconnect' || step.do === 'fogRestart') w.connect()
          if (step.do !== 'diskFails' && w.meter().needsReconnect()) w.connect()
          expect(w.box.store.whole()).toBeLessThanOrEqual(maxBlocks)
        }
        w.box.repair()
        w.connect()
        w.send(w.meter().closeBlock())
        for (let i = 0; i < 200 && !w.meter().drained(); i++) {
          w.settle()
          w.clock.advance(5_000)
          w.send(w.meter().tick())
          if (w.meter().needsReconnect()) w.connect()
        }
        expect(w.meter().drained()).toBe(true)
        expectChained(w.fog.durable)
        givenUp += checkTruth(w.fog.durable, accepted)
      }),
      { numRuns: 150 },
    )
    expect(givenUp > 0, 'the limit was met').toBe(maxBlocks < 1_000)
  },
)

/**
 * The fog holds the accepted measurements, each as a reading or, where that was given up, under a
 * statement that says so, and their energy to the last watt-second. Returns how many were given up.
 */
function checkTruth(
  blocks: readonly Block[],
  accepted: { timeS: number; powerW: number }[],
): number {
  const registers = truthOf(accepted)
  let number = 0
  let givenUp = 0
  for (const { statement, readings } of blocks) {
    expect(statement.first).toBe(number + 1)
    const { endImportWh: importWh, endExportWh: exportWh } = statement
    expect({ importWh, exportWh }).toEqual(registers[statement.last - 1])
    for (const reading of readings) {
      const { timeS, powerW } = accepted[number]!
      expect(reading).toMatchObject({ number: number + 1, timeS, powerW, ...registers[number] })
      number += 1
    }
    if (readings.length > 0) continue
    givenUp += statement.last - number
    number = statement.last
  }
  expect(number).toBe(accepted.length)
  return givenUp
}

/** Both registers after each measurement, integrated to the watt-second. */
function truthOf(accepted: { timeS: number; powerW: number }[]) {
  let importWs = 0
  let exportWs = 0
  return accepted.map(({ timeS, powerW }, index) => {
    const seconds = timeS - (accepted[index - 1]?.timeS ?? timeS)
    if (powerW > 0) importWs += powerW * seconds
    else exportWs -= powerW * seconds
    return { importWh: Math.floor(importWs / 3_600), exportWh: Math.floor(exportWs / 3_600) }
  })
}

test('the checks catch a chain that was cut', () => {
  const { meter, box } = setup({ maxReadings: 1 })
  for (let i = 0; i < 3; i++) meter.measure(at(i * 10))
  const [first, , third] = blocksOf(box.disk().blocks)
  expect(() => expectChained([first!, third!])).toThrow(/equal/)
  expect(chain(nodeCrypto, third!.statement.previousChain, first!.readings[0]!)).not.toEqual(
    third!.statement.chain,
  )
})
