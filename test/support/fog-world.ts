import * as fc from 'fast-check'
import { expect } from 'vitest'
import { nodeCrypto } from '#crypto-node'
import type { FogStore } from '#fog'
import { decodeItem, type Item, type Summary, type Up } from '#messages'
import { decodeBlock, peekRegister, type Block } from '#reading'
import { memoryFogStore, newDisk } from './fog-store.ts'
import {
  fogBench,
  liveMessages,
  manualVerifier,
  report,
  simulatedMeter,
  virtualClock,
  type SimulatedMeter,
} from './fog.ts'

const names = ['meter-a', 'meter-b', 'meter-c']

export type Step =
  | { do: 'sign'; meter: number; count: number; skip: number }
  | { do: 'open'; meter: number }
  | { do: 'report'; meter: number; back: number }
  | { do: 'live'; meter: number; lose: number }
  | { do: 'verify'; index: number }
  | { do: 'tick'; ms: number }
  | { do: 'disk'; failing: boolean }
  | { do: 'crash' }

const meterIndex = fc.nat({ max: names.length - 1 })
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('sign' as const),
      meter: meterIndex,
      count: fc.integer({ min: 1, max: 6 }),
      skip: fc.oneof({ weight: 4, arbitrary: fc.constant(0) }, fc.integer({ min: 1, max: 3 })),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('open' as const), meter: meterIndex }) },
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('report' as const),
      meter: meterIndex,
      back: fc.nat({ max: 3 }),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('live' as const),
      meter: meterIndex,
      lose: fc.nat({ max: 12 }),
    }),
  },
  { weight: 8, arbitrary: fc.record({ do: fc.constant('verify' as const), index: fc.nat(20) }) },
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('tick' as const),
      ms: fc.constantFrom(10, 200, 1_000, 60_000, 200_000),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('disk' as const), failing: fc.boolean() }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('crash' as const) }) },
)

/** What survives a crash, and how to look at it. */
export interface Storage {
  /** A store as a new process finds it. */
  open(failing: () => boolean): FogStore
  blocks(): { deviceId: string; block: Block }[]
  /** Every item ever put into the outbox, in order. */
  items(): Item[]
}

export function memoryStorage(): Storage {
  const disk = newDisk()
  return {
    open: (failing) => memoryFogStore(disk, failing),
    blocks: () =>
      disk.groups.flatMap(({ blocks }) =>
        (blocks ?? []).map(({ meterId, body }) => {
          const deviceId = disk.meters.get(meterId)?.deviceId ?? ''
          return { deviceId, block: decodeBlock(nodeCrypto, body, deviceId) }
        }),
      ),
    items: () => [...disk.items.values()].map(decodeItem),
  }
}

/** Meters and a fog node that can die; `receipted` is what the meters were told. */
function world(storage: Storage) {
  const clock = virtualClock()
  const meters = names.map((name, index) => simulatedMeter(name, index + 1))
  const receipted = meters.map(() => 0)
  let failing = false
  let channels = 0
  let cids = meters.map(() => '')
  let checks = manualVerifier()
  let bench = start()

  function start() {
    checks = manualVerifier()
    return fogBench({ store: storage.open(() => failing), clock, verifier: checks.verifier })
  }

  function open(index: number): void {
    cids[index] = `channel${channels++}`
    const meter = meters[index]!
    // As a real meter does: what was receipted is gone, what was not is held.
    bench.hello(cids[index], meter, receipted[index]! + 1)
  }

  function hear(): void {
    for (const [index, cid] of cids.entries()) {
      for (const message of bench.take(cid)) {
        if (message.type !== 'receipt' && message.type !== 'welcome') continue
        receipted[index] = Math.max(receipted[index]!, message.durable)
      }
    }
  }

  function tick(): void {
    try {
      bench.fog.tick()
    } catch (error) {
      if (!failing) throw error
    }
    hear()
  }

  return {
    storage,
    clock,
    meters,
    receipted,
    open,
    tick,
    send: (index: number, ...messages: Up[]) => bench.up(cids[index]!, ...messages),
    verify: (index: number) =>
      checks.waiting.length === 0
        ? Promise.resolve()
        : checks.release(index % checks.waiting.length),
    verifyAll: () => checks.releaseAll(),
    setFailing: (value: boolean) => {
      failing = value
    },
    crash: () => {
      cids = meters.map(() => '')
      bench = start()
    },
  }
}

type World = ReturnType<typeof world>

async function perform(w: World, s: Step): Promise<void> {
  switch (s.do) {
    case 'sign':
      w.meters[s.meter]!.block(s.count, s.skip)
      return
    case 'open':
      return w.open(s.meter)
    case 'report':
      return sendBlock(w, s.meter, s.back, (block) => [report(block)])
    case 'live':
      return sendBlock(w, s.meter, 0, (block) =>
        liveMessages(block).filter((_, index) => index !== s.lose),
      )
    case 'verify':
      return w.verify(s.index)
    case 'tick':
      w.clock.advance(s.ms)
      return w.tick()
    case 'disk':
      return w.setFailing(s.failing)
    case 'crash':
      w.crash()
      checkJournal(w)
  }
}

/** Sends the oldest block not receipted, or one up to three away from it in either direction. */
function sendBlock(w: World, index: number, back: number, messages: (block: Block) => Up[]): void {
  const { blocks } = w.meters[index]!.state
  const next = blocks.findIndex(({ statement }) => statement.last > w.receipted[index]!)
  const block = blocks[(next < 0 ? blocks.length : next) + (back === 3 ? 1 : -back)]
  if (block) w.send(index, ...messages(block))
}

/** Everything the store holds, by meter; fails when a number is there twice. */
function journal(storage: Storage): Map<string, Set<number>> {
  const held = new Map<string, Set<number>>()
  for (const { deviceId, block } of storage.blocks()) {
    const numbers = held.get(deviceId) ?? new Set()
    held.set(deviceId, numbers)
    for (const { number } of block.readings) {
      expect(numbers.has(number), `${deviceId} ${number} twice`).toBe(false)
      numbers.add(number)
    }
  }
  return held
}

function checkJournal({ storage, meters, receipted }: World): void {
  const held = journal(storage)
  meters.forEach(({ name, state }, index) => {
    const promised = state.blocks
      .flatMap(({ readings }) => readings)
      .filter(({ number }) => number <= receipted[index]!)
    const missing = promised.filter(({ number }) => !held.get(name)?.has(number))
    expect(missing, `receipted by ${name} and lost`).toEqual([])
  })
}

/** An honest end: everybody connects, sends what is not receipted, and goes quiet. */
async function drain(w: World): Promise<void> {
  w.setFailing(false)
  for (const index of w.meters.keys()) {
    w.open(index)
    w.tick()
    const { blocks } = w.meters[index]!.state
    const missing = blocks.filter(({ statement }) => statement.last > w.receipted[index]!)
    w.send(index, ...missing.map(report))
  }
  await w.verifyAll()
  for (const ms of [1_000, 200_000, 200_000]) {
    w.clock.advance(ms)
    w.tick()
  }
}

function checkEnd(w: World): { signed: number; summedUp: number } {
  checkJournal(w)
  const items = w.storage.items()
  const latest = new Map<number, Summary>()
  for (const item of items) {
    if (item.type !== 'summary') continue
    const before = latest.get(item.summary.startS)
    expect(item.summary.revision).toBe(before === undefined ? 0 : before.revision + 1)
    latest.set(item.summary.startS, item.summary)
  }
  const sum = (value: (summary: Summary) => number) =>
    [...latest.values()].reduce((total, summary) => total + value(summary), 0)
  const readings = w.meters.flatMap(({ state }) => state.blocks.flatMap((block) => block.readings))
  expect(sum((s) => s.powerSumW)).toBe(readings.reduce((total, r) => total + r.powerW, 0))
  expect(sum((s) => s.importWh)).toBe(energyOf(w.meters, 'importWh'))
  expect(sum((s) => s.exportWh)).toBe(energyOf(w.meters, 'exportWh'))
  for (const [index, { name, state }] of w.meters.entries()) {
    const last = state.blocks.at(-1)
    if (!last) continue
    expect(w.receipted[index]).toBe(last.statement.last)
    const registers = items
      .flatMap((item) => (item.type === 'register' ? [peekRegister(item.envelope)] : []))
      .filter(({ deviceId }) => deviceId === name)
    expect(registers.at(-1)).toEqual(last.statement)
  }
  return { signed: readings.length, summedUp: sum((s) => s.readings) }
}

function energyOf(meters: SimulatedMeter[], field: 'importWh' | 'exportWh'): number {
  return meters.reduce((total, { state }) => {
    const readings = state.blocks.flatMap((block) => block.readings)
    return total + (readings.at(-1)?.[field] ?? 0) - (readings[0]?.[field] ?? 0)
  }, 0)
}

/** Any history of three meters and a fog node that dies now and then. */
export const anyHistory = fc.array(step, { minLength: 20, maxLength: 120 })

/**
 * Plays a history, then an honest end, and checks at every death and at the end: nothing receipted
 * is missing, no reading is stored twice, and the summaries' latest revisions add up. Returns how
 * many readings were signed and how many the summaries count.
 */
export async function playHistory(
  storage: Storage,
  steps: readonly Step[],
): Promise<{ signed: number; summedUp: number }> {
  const w = world(storage)
  for (const index of w.meters.keys()) w.open(index)
  for (const s of steps) await perform(w, s)
  await drain(w)
  return checkEnd(w)
}
