import { describe, expect, test } from 'vitest'
import { nodeCrypto } from '#crypto-node'
import { createMeter, meterDefaults, type Measurement, type MeterEvent } from '#meter'
import { openMeterStore } from '#meter-store'
import { decodeBlock, status, statusNames, type Block } from '#reading'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach } from 'vitest'

const deviceId = 'meter-1'
const key = nodeCrypto.signingKey(new Uint8Array(32).fill(7))
const T = 1_800_000_100

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'fogmeter-meter-time-'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

/** A meter on a real store that can be started again, in the same boot or the next one. */
function device() {
  const events: MeterEvent[] = []
  let bootId = 1
  let ageS = 0
  const open = () => {
    const file = openMeterStore(join(folder, 'meter.db'))
    const meter = createMeter({
      crypto: nodeCrypto,
      key,
      deviceId,
      clock: { now: () => 0, monotonic: () => 0 },
      store: file.meter(deviceId),
      settings: { ...meterDefaults, mode: 'block', maxReadings: 64 },
      boot: { id: bootId, ageS: () => ageS },
      onEvent: (event) => events.push(event),
    })
    return { file, meter }
  }
  let running = open()
  return {
    events,
    measure: (afterS: number, m: Omit<Measurement, 'powerW'> & { powerW?: number }) => {
      ageS += afterS
      running.meter.measure({ powerW: 3_600, ...m })
    },
    age: () => ageS,
    restart: (boot = bootId) => {
      running.file.close()
      if (boot !== bootId) ageS = 0
      bootId = boot
      running = open()
    },
    blocks: (): Block[] => {
      running.meter.closeBlock()
      const items = running.file.meter(deviceId).read(1, 1_000)
      return items.map(({ body }) => decodeBlock(nodeCrypto, body, deviceId))
    },
    importWh: () => running.meter.status().importWh,
  }
}

/** Each block as its anchor and the times in it. */
const shape = (blocks: Block[]) =>
  blocks.map(({ statement, readings }) => [
    statement.anchor ?? null,
    readings.map(({ timeS }) => timeS),
  ])

const unknown = { timeQuality: 2 } as const

describe('anchors', () => {
  test('a meter that knows the time spends no byte on them', () => {
    const d = device()
    for (let i = 0; i < 5; i++) d.measure(10, { timeS: T + 10 * i, ageS: 10 * (i + 1) })
    d.restart(2)
    d.measure(10, { timeS: T + 100, ageS: 10 })
    expect(d.blocks().map(({ statement }) => statement.anchor)).toEqual([undefined, undefined])
  })

  test('times that mean nothing have one; so has the first block that is right again, and no later one', () => {
    const d = device()
    d.measure(30, { timeS: 40, ...unknown })
    d.measure(10, { timeS: 50, ...unknown })
    d.measure(10, { timeS: T })
    d.measure(10, { timeS: T + 10 })
    d.blocks()
    d.measure(10, { timeS: T + 20 })
    expect(shape(d.blocks())).toEqual([
      [{ boot: 1, ageS: 40 }, [40, 50]],
      [{ boot: 1, ageS: 60 }, [T, T + 10]],
      [null, [T + 20]],
    ])
  })

  test('a program started again in the same boot goes on in its block, in another boot it does not', () => {
    const d = device()
    d.measure(30, { timeS: 40, ...unknown })
    d.restart()
    d.measure(10, { timeS: 50, ...unknown })
    d.restart(2)
    d.measure(20, { timeS: 20, ...unknown })
    expect(shape(d.blocks())).toEqual([
      [{ boot: 1, ageS: 40 }, [40, 50]],
      [{ boot: 2, ageS: 20 }, [20]],
    ])
  })

  test('an unset clock that is moved begins another block, and that is no event', () => {
    const d = device()
    d.measure(30, { timeS: 40, ...unknown })
    d.measure(10, { timeS: T - 86_400, ...unknown })
    expect(shape(d.blocks())).toEqual([
      [{ boot: 1, ageS: 30 }, [40]],
      [{ boot: 1, ageS: 40 }, [T - 86_400]],
    ])
    expect(d.events).toEqual([])
  })
})

describe('a clock that is set', () => {
  test.each([
    ['three hours forward', 3 * 3_600],
    ['three hours back', -3 * 3_600],
    ['eleven seconds back', -11],
  ])('%s is an event, and energy goes by the time that passed', (_, byS) => {
    const d = device()
    d.measure(10, { timeS: T, ageS: 10 })
    d.measure(10, { timeS: T + 10, ageS: 20 })
    d.measure(10, { timeS: T + 20 + byS, ageS: 30 })
    d.measure(10, { timeS: T + 30 + byS, ageS: 40 })
    expect(d.importWh()).toBe(30)
    const step = { type: 'clock-step', number: 3, fromS: T + 10, toS: T + 20 + byS }
    expect(d.events).toEqual([step])
    const blocks = d.blocks()
    expect(blocks.map(({ statement }) => statement.anchor?.ageS)).toEqual([undefined, 40])
    expect(statusNames(blocks[1]!.readings[0]!.status)).toContain('clock-step')
    expect(blocks[1]!.readings[1]!.status & status.clockStep).toBe(0)
  })

  test.each([
    ['a second here or there', 1],
    ['ten seconds', 10],
  ])('%s is none', (_, byS) => {
    const d = device()
    d.measure(10, { timeS: T, ageS: 10 })
    d.measure(10, { timeS: T + 10 + byS, ageS: 20 })
    expect(d.events).toEqual([])
    expect(d.blocks()).toHaveLength(1)
  })

  test('a source with times of its own only shows a step back', () => {
    const d = device()
    d.measure(10, { timeS: T })
    d.measure(10, { timeS: T - 3_600 })
    d.measure(10, { timeS: T - 3_590 })
    expect(d.events).toEqual([
      { type: 'register', what: 'gap', number: 2 },
      { type: 'clock-step', number: 2, fromS: T, toS: T - 3_600 },
    ])
    expect(d.importWh()).toBe(10)
  })
})

describe('energy from power alone', () => {
  test('is counted while the time is unknown, and across learning it', () => {
    const d = device()
    d.measure(10, { timeS: 10, ...unknown })
    d.measure(10, { timeS: 20, ...unknown })
    d.measure(10, { timeS: T })
    expect(d.importWh()).toBe(20)
    expect(d.events).toEqual([])
  })

  test('is not invented across a boot in the dark: nobody knows how long it was off', () => {
    const d = device()
    d.measure(10, { timeS: 10, ...unknown })
    d.restart(2)
    d.measure(300, { timeS: 300, ...unknown })
    d.measure(10, { timeS: 310, ...unknown })
    expect(d.importWh()).toBe(10)
    expect(d.events).toEqual([{ type: 'register', what: 'gap', number: 2 }])
    const word = d.blocks()[1]!.readings[0]!.status
    expect(statusNames(word)).toEqual(['time-unknown', 'substitute', 'integrated-register'])
  })

  test('is counted across a boot that knows the time, unless it was long', () => {
    const d = device()
    d.measure(10, { timeS: T, ageS: 10 })
    d.restart(2)
    d.measure(10, { timeS: T + 60, ageS: 10 })
    d.restart(3)
    d.measure(10, { timeS: T + 7_200, ageS: 10 })
    expect(d.importWh()).toBe(60)
    expect(d.events).toEqual([{ type: 'register', what: 'gap', number: 3 }])
  })
})
