import { nodeCrypto } from '#crypto-node'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import * as fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { createMemoryStore } from '#cloud'
import { createUplink, type FogStore } from '#fog'
import { openFogStore } from '#fog-store'
import { decodeItem, encodeItem, type Item } from '#messages'
import {
  credentialItem,
  device,
  fogStatus,
  register,
  startS,
  summaryItem,
  testCloud,
} from '../support/cloud.ts'
import { fogBench, report, simulatedMeter, virtualClock } from '../support/fog.ts'
import { memoryFogStore, newDisk } from '../support/fog-store.ts'

let folder = ''
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'fogmeter-outbox-'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

const fog = device('fog', 'fog-1')
const meter = device('meter', 'meter-1')
const mostItems = 12
type Kind = 'summary' | 'event' | 'fogStatus' | 'register'

const ignored = () => undefined

/** A fog's store and uplink, and the cloud behind a link that loses what it is told to lose. */
function world(path: string, limit = mostItems) {
  const clock = virtualClock()
  const cloudStore = createMemoryStore()
  const { cloud } = testCloud(cloudStore)
  const kinds = new Map<number, Kind | 'credential'>()
  let store = openFogStore(path, clock, limit)
  let uplink = start()
  let channels = 0
  let cid: string | null = null
  let registers = 0

  function start() {
    const { outbox, receipts } = store
    return createUplink({
      outbox,
      receipts,
      clock,
      crypto: nodeCrypto,
      windowItems: 5,
      onRevocations: ignored,
      onSuperseded: ignored,
      onSetBack: ignored,
      onWindowConflict: ignored,
      onWithdraw: ignored,
      credentialOf: () => null,
    })
  }

  function itemOf(kind: Kind, number: number): Item {
    const beginS = startS + number * 900
    switch (kind) {
      case 'summary':
        return summaryItem({ startS: beginS, endS: beginS + 900 })
      case 'event':
        return event(`number ${number}`)
      case 'fogStatus':
        return { type: 'fogStatus', status: fogStatus }
      default:
        return register(meter, 15 * ++registers)
    }
  }

  function put(...list: Item[]): void {
    store.commit({ committedS: 1, blocks: [], meters: [], items: list.map(encodeItem) })
  }

  function produce(wanted: readonly Kind[]): void {
    const next = store.outbox.next()
    wanted.forEach((kind, index) => kinds.set(next + index, kind))
    put(...wanted.map((kind, index) => itemOf(kind, next + index)))
  }

  /** Up and down again until nothing moves; `lost` says which of the messages do not arrive. */
  function exchange(payloads: Uint8Array[], lost: () => boolean): void {
    for (const payload of payloads) {
      if (lost() || cid === null) continue
      const outputs = [...cloud.received(cid, fog.credential, payload), ...cloud.flush()]
      for (const output of outputs) {
        if (output.type === 'send' && !lost()) exchange(uplink.onMessage(output.payload), lost)
      }
    }
  }

  function connect(lost: () => boolean): void {
    if (cid !== null) cloud.closed(cid)
    cid = `channel-${channels++}`
    cloud.opened(cid, fog.credential)
    uplink.onClosed()
    exchange(uplink.onOpen('cloud-a'), lost)
  }

  kinds.set(1, 'credential')
  put(credentialItem(meter))
  return {
    clock,
    contents: cloudStore.contents,
    kinds,
    produce,
    put,
    connect,
    tick: (lost: () => boolean) => {
      clock.advance(31_000)
      exchange(uplink.tick(), lost)
    },
    restart: () => {
      store.close()
      store = openFogStore(path, clock, limit)
      uplink = start()
      cid = null
    },
    store: () => store,
    held: () => store.outbox.read(1, 1_000).map(({ first, body }) => ({ first, body })),
    close: () => store.close(),
  }
}

const event = (detail: string): Item => ({
  type: 'event',
  event: { code: 'test', timeS: startS, deviceId: null, detail },
})

type World = ReturnType<typeof world>
const never = () => false

/** Numbers the cloud was told it will not get. */
function declared({ contents }: World): number[] {
  return contents.events
    .filter(({ code }) => code === 'items-given-up' || code === 'gap')
    .flatMap(({ detail }) => {
      const [, from = '', to = ''] = /numbers (\d+) to (\d+)/.exec(detail) ?? []
      return Array.from({ length: Number(to) - Number(from) + 1 }, (_, i) => Number(from) + i)
    })
}

/** Numbers the cloud has stored; statuses replace each other, so they are left out. */
function stored({ contents }: World): number[] {
  const events = contents.events
    .filter(({ code }) => code === 'test')
    .map(({ detail }) => Number(/\d+/.exec(detail)?.[0]))
  const numbered = [...contents.summaries, ...contents.registers].map(({ number }) => number)
  return [...events, ...numbered, ...(contents.credentials.length > 0 ? [1] : [])]
}

function kept(w: World): number {
  const bill = new Set(['credential', 'register'])
  return w.held().filter(({ body }) => bill.has(decodeItem(body).type)).length
}

function drain(w: World): void {
  w.connect(never)
  const { outbox } = w.store()
  for (let n = 0; n < 200 && outbox.oldest() < outbox.next(); n++) w.tick(never)
  expect(outbox.oldest()).toBe(outbox.next())
  // What was given up behind the last item is named by the next items, whatever they are.
  w.produce(['fogStatus'])
  w.tick(never)
  w.connect(never)
  expect(outbox.oldest()).toBe(outbox.next())
}

function checkAccount(w: World): void {
  const [here, gone] = [stored(w), declared(w)]
  const all = [...here, ...gone]
  expect(new Set(all).size, 'nothing twice').toBe(all.length)
  for (const [number, kind] of w.kinds) {
    if (kind === 'fogStatus') continue
    const mustBeHere = kind === 'register' || kind === 'credential'
    expect(mustBeHere ? here : all, `${kind} ${number}`).toContain(number)
  }
  expect(w.contents.refused).toEqual([])
}

const anyKind = fc.constantFrom<Kind>('summary', 'event', 'fogStatus', 'register')
const anyStep = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('fill' as const),
      kinds: fc.array(anyKind, { minLength: 1, maxLength: 9 }),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constantFrom('connect' as const, 'tick' as const),
      fates: fc.array(fc.boolean(), { minLength: 1, maxLength: 7 }),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('restart' as const) }) },
)

describe('an outbox with a limit', () => {
  test('property: whatever is filled and drained, registers arrive and every number is accounted for', () => {
    let round = 0
    let gone = 0
    fc.assert(
      fc.property(fc.array(anyStep, { maxLength: 30, size: 'max' }), (steps) => {
        const w = world(join(folder, `${(round += 1)}.db`))
        for (const step of steps) {
          if (step.do === 'fill') w.produce(step.kinds)
          else if (step.do === 'restart') w.restart()
          else {
            let turn = 0
            w[step.do](() => step.fates[turn++ % step.fates.length] ?? false)
          }
          expect(w.store().backlog().items).toBe(w.held().length)
          expect(w.held().length).toBeLessThanOrEqual(Math.max(mostItems, kept(w)))
        }
        drain(w)
        checkAccount(w)
        gone += declared(w).length
        w.close()
      }),
      { numRuns: 40 },
    )
    expect(gone, 'the limit was met').toBeGreaterThan(0)
  })

  test('the oldest details go first, one by one, and are counted by type', () => {
    const w = world(join(folder, 'fog.db'), 5)
    w.produce(['fogStatus', 'register', 'summary', 'event'])
    const numbers = () => w.held().map(({ first }) => first)
    expect(numbers()).toEqual([1, 2, 3, 4, 5])
    w.produce(['summary'])
    expect(numbers()).toEqual([1, 3, 4, 5, 6])
    w.produce(['register', 'register'])
    expect(numbers()).toEqual([1, 3, 6, 7, 8])
    w.restart()
    w.produce(['summary'])
    expect(numbers()).toEqual([1, 3, 7, 8, 9])
    expect(w.store().backlog()).toMatchObject({ items: 5, full: false, givenUp: { summary: 1 } })
    w.produce(['register'])
    expect(w.store().backlog()).toMatchObject({ full: true, givenUp: { summary: 2 } })
    drain(w)
    checkAccount(w)
    expect(declared(w)).toEqual([2, 4, 5, 6, 9])
    w.close()
  })

  test('a transaction that fails gives nothing up', () => {
    const w = world(join(folder, 'fog.db'), 3)
    w.produce(['summary', 'event'])
    const before = w.held()
    const twice = { id: 1, deviceId: 'a', credential: new Uint8Array(1) }
    expect(() =>
      w.store().commit({
        committedS: 1,
        blocks: [],
        meters: [twice, { ...twice, id: 2 }],
        items: [encodeItem(event('x'))],
      }),
    ).toThrow('UNIQUE')
    expect(w.held()).toEqual(before)
    expect(w.store().backlog()).toMatchObject({ items: 3, givenUp: {} })
    w.close()
  })
})

test('a register kept back goes out once there is room, though nothing comes any more', async () => {
  const full = { now: false }
  const disk = newDisk()
  const inner = memoryFogStore(disk)
  const store: FogStore = { ...inner, backlog: () => ({ ...inner.backlog(), full: full.now }) }
  const bench = fogBench({ disk, store })
  const sender = simulatedMeter('meter-1')
  bench.hello('aaaaaaaa', sender)
  const registers = () => bench.items().filter(({ type }) => type === 'register').length
  const quiet = () => {
    bench.clock.advance(200_000)
    bench.fog.tick()
  }
  bench.up('aaaaaaaa', report(sender.block(6)))
  await bench.commit()
  quiet()
  expect(registers()).toBe(1)
  full.now = true
  bench.up('aaaaaaaa', report(sender.block(6)))
  await bench.commit()
  quiet()
  expect(registers()).toBe(1)
  full.now = false
  quiet()
  expect(registers()).toBe(2)
})

test('while no register fits, meters keep theirs, and the newest goes out when there is room', async () => {
  const full = { now: true }
  const disk = newDisk()
  const inner = memoryFogStore(disk)
  const store: FogStore = {
    ...inner,
    backlog: () => ({ ...inner.backlog(), full: full.now }),
  }
  const bench = fogBench({ disk, store })
  const sender = simulatedMeter('meter-1')
  bench.hello('aaaaaaaa', sender)
  const registers = () =>
    bench.items().flatMap((item) => (item.type === 'register' ? [item.envelope] : []))
  for (let n = 0; n < 3; n++) {
    bench.up('aaaaaaaa', report(sender.block(6)))
    await bench.commit()
    bench.clock.advance(200_000)
    bench.fog.tick()
  }
  expect(registers()).toEqual([])
  expect(bench.items().some(({ type }) => type === 'summary')).toBe(true)
  full.now = false
  bench.clock.advance(1_000)
  bench.fog.tick()
  expect(registers()).toHaveLength(1)
})

/** A node whose store has room for six items and whose cloud answers only when told to. */
async function crowded(path: string, windows: number) {
  const clock = virtualClock()
  let store = openFogStore(path, clock, 6)
  let bench = fogBench({ store, clock })
  const sender = simulatedMeter('meter-1')
  const held = () =>
    store.outbox.read(1, 100).map(({ body }) => {
      const item = decodeItem(body)
      return item.type === 'summary' ? item.summary.startS : item.type
    })
  bench.hello('aaaaaaaa', sender)
  for (let n = 0; n < windows; n++) {
    bench.up('aaaaaaaa', report(sender.block(6)))
    await bench.commit()
  }
  bench.clock.advance(200_000)
  bench.fog.tick()
  return {
    held,
    lostFrom: () => store.backlog().lostFromS,
    /** The cloud has all that waits; then time passes. Returns what it got. */
    take() {
      const got = held()
      store.outbox.dropThrough(store.outbox.next() - 1)
      bench.clock.advance(1_000)
      bench.fog.tick()
      return got
    },
    prune: () => bench.fog.prune(Math.floor(clock.now() / 1_000)),
    restart() {
      store.close()
      store = openFogStore(path, clock, 6)
      bench = fogBench({ store, clock })
    },
    close: () => store.close(),
  }
}

const starts = (count: number, first = 0) =>
  Array.from({ length: count }, (_, index) => startS + 60 * (first + index))

describe('summaries that had to make room', () => {
  test('go out again when the cloud has taken what was left, the oldest first', async () => {
    const node = await crowded(join(folder, 'fog.db'), 12)
    expect(node.lostFrom()).toBe(startS)
    const got = [node.take(), node.take(), node.take(), node.take(), node.take()].flat()
    const summaries = got.filter((entry) => typeof entry === 'number')
    expect([...new Set(summaries)].toSorted((a, b) => a - b)).toEqual(starts(12))
    expect(node.lostFrom()).toBeNull()
    expect(node.held()).toEqual([])
    node.close()
  })

  test('are not forgotten by a restart, nor by pruning', async () => {
    const node = await crowded(join(folder, 'fog.db'), 12)
    node.prune()
    node.restart()
    node.prune()
    expect(node.lostFrom()).toBe(startS)
    node.take()
    expect(node.held()).toEqual(starts(3))
    expect(node.lostFrom()).toBe(startS + 180)
    node.close()
  })

  test('whatever the row says: one that cannot be read may have been of any window', async () => {
    const path = join(folder, 'fog.db')
    const node = await crowded(path, 6)
    node.close()
    const db = new Database(path)
    const row = db
      .prepare('SELECT number, body FROM outbox ORDER BY number DESC LIMIT 1')
      .get() as {
      number: number
      body: Uint8Array
    }
    row.body[row.body.length - 1]! ^= 1
    db.prepare('UPDATE outbox SET body = ? WHERE number = ?').run(row.body, row.number)
    db.prepare('DELETE FROM meta WHERE name = ?').run('outbox lost from')
    db.close()
    const store = openFogStore(path, virtualClock(), 6)
    const more = Array.from({ length: 6 }, (_, n) => encodeItem(summaryItem({ startS: 9e5 + n })))
    store.commit({ committedS: 1, blocks: [], meters: [], items: more })
    expect(store.backlog().lostFromS).toBe(0)
    store.close()
  })

  test('a transaction that fails leaves the mark where it was', async () => {
    const node = await crowded(join(folder, 'fog.db'), 3)
    node.close()
    const store = openFogStore(join(folder, 'fog.db'), virtualClock(), 4)
    const before = store.backlog()
    const twice = { id: 9, deviceId: 'a', credential: new Uint8Array(1) }
    const items = Array.from({ length: 8 }, () => encodeItem(summaryItem({ startS })))
    expect(() =>
      store.commit({ committedS: 1, blocks: [], meters: [twice, { ...twice, id: 10 }], items }),
    ).toThrow('UNIQUE')
    expect(store.backlog()).toEqual(before)
    store.close()
  })
})
