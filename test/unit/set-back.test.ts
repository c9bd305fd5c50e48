import { cpSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import BetterSqlite3 from 'better-sqlite3'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { fromUtf8, utf8 } from '#bytes'
import { createMemoryStore, type CloudStore } from '#cloud'
import { createUplink } from '#fog'
import { openFogStore, type SqliteFogStore } from '#fog-store'
import { createMeter, meterDefaults } from '#meter'
import { openMeterStore } from '#meter-store'
import { nodeCrypto } from '#crypto-node'
import { encodeDown, encodeItem, type Item } from '#messages'
import { createWindows, windowDefaults } from '#window'
import { device, summaryItem, testCloud } from '../support/cloud.ts'
import { newDisk } from '../support/fog-store.ts'
import {
  cloudBehind,
  fogBench,
  meterCredential,
  report,
  settled,
  simulatedMeter,
  virtualClock,
} from '../support/fog.ts'

let folder: string
let path: string
const opened: SqliteFogStore[] = []
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'fogmeter-set-back-'))
  path = join(folder, 'fog.db')
})
afterEach(() => {
  for (const store of opened.splice(0)) store.close()
  rmSync(folder, { recursive: true, force: true })
})

function open(): SqliteFogStore {
  const store = openFogStore(path, virtualClock())
  opened.push(store)
  return store
}

/** Makes the file look restored, as `restoreDatabase` leaves it. */
function markRestored(file: string): void {
  const handle = new BetterSqlite3(file)
  handle.exec(
    "CREATE TABLE backup_mark (kind TEXT, owner TEXT, taken_s INTEGER); INSERT INTO backup_mark VALUES ('agent', 'fog-1', 5)",
  )
  handle.close()
}

function put(store: SqliteFogStore, ...names: string[]): void {
  store.commit({ committedS: 1, blocks: [], meters: [], items: names.map(utf8) })
}

const held = ({ outbox }: SqliteFogStore) =>
  outbox.read(1, 100).map(({ first, body }) => `${first} ${fromUtf8(body)}`)

describe('the outbox of a fog node that was set back', () => {
  test('what it holds moves above numbers the cloud has for other things, in order, for good', () => {
    const store = open()
    put(store, 'a', 'b', 'c')
    store.outbox.dropThrough(1)
    store.outbox.raiseNext(11)
    expect(held(store)).toEqual(['11 b', '12 c'])
    put(store, 'd')
    expect([store.outbox.oldest(), store.outbox.next()]).toEqual([11, 14])
    expect(held(open())).toEqual(['11 b', '12 c', '13 d'])
  })

  test.each([
    ['fewer numbers than it offers', 2, ['3 a', '4 b', '5 c', '6 restored']],
    ['as many', 4, ['5 a', '6 b', '7 c', '8 restored']],
  ])('after a restore the welcome of a cloud with %s drops nothing', (_, durable, expected) => {
    put(open(), 'a', 'b', 'c')
    markRestored(path)
    const store = open()
    expect(store.restored).toEqual({ kind: 'agent', owner: 'fog-1', takenS: 5 })
    store.settleRestored([utf8('restored')])
    store.outbox.dropThrough(durable)
    expect(held(store)).toEqual(expected)
    // From then on a receipt is a receipt, also after a restart.
    const again = open()
    expect(again.restored).toBeNull()
    again.outbox.dropThrough(durable + 3)
    expect(held(again)).toEqual(expected.slice(3))
  })

  test('the doubt outlives a restart', () => {
    put(open(), 'a')
    markRestored(path)
    open().settleRestored([])
    const store = open()
    store.outbox.dropThrough(1)
    expect(held(store)).toEqual(['2 a'])
  })
})

/** A fog's uplink and a cloud in this process; items go up until there are none. */
function link(store: SqliteFogStore, contents = createMemoryStore()) {
  const fog = device('fog', 'fog-1')
  const setBacks: object[] = []
  const conflicts: number[] = []
  const raised: object[] = []
  const clock = virtualClock()
  const handlers = { failing: false }
  const uplink = createUplink({
    outbox: store.outbox,
    receipts: store.receipts,
    clock,
    crypto: nodeCrypto,
    onRevocations: () => undefined,
    onSuperseded: () => undefined,
    onWithdraw: () => undefined,
    credentialOf: () => null,
    onSetBack(setBack) {
      if (handlers.failing) throw new Error('disk full')
      setBacks.push(setBack)
      putItems(store, item(0), item(1), item(2))
    },
    onWindowConflict: (startS) => void conflicts.push(startS),
    onEvent(event) {
      if (event.type === 'raised') raised.push(event)
    },
  })
  let channel = 0
  function talk(cloudStore: CloudStore = contents, node = 'cloud-a') {
    const bench = testCloud(cloudStore)
    const cid = `c${++channel}`
    bench.connect(fog, cid)
    const exchange = (payloads: Uint8Array[]) => {
      for (let up = payloads; up.length > 0;) {
        const outputs = up.flatMap((payload) => bench.deliver(fog, cid, payload))
        up = outputs.flatMap((output) =>
          output.type === 'send' ? uplink.onMessage(output.payload) : [],
        )
      }
    }
    uplink.onClosed()
    exchange(uplink.onOpen(node))
    exchange(uplink.tick())
  }
  return { uplink, talk, contents, setBacks, conflicts, raised, handlers }
}

const gapsIn = (items: readonly Item[]) => items.filter(({ type }) => type === 'gap')

const item = (index: number) =>
  summaryItem({ startS: 1_767_225_600 + 900 * index, endS: 1_767_226_500 + 900 * index })

function summaryOf(one: Item) {
  return one.type === 'summary' ? one.summary : null
}

function putItems(store: SqliteFogStore, ...items: Item[]): void {
  store.commit({ committedS: 1, blocks: [], meters: [], items: items.map(encodeItem) })
}

function linkWithItems(store: SqliteFogStore) {
  putItems(store, item(0), item(1), item(2))
  return link(store)
}

describe('a cloud that was set back', () => {
  test('is noticed by its welcome, once, and gets what the fog node still has', () => {
    const store = open()
    const { talk, setBacks, contents } = linkWithItems(store)
    talk()
    expect(contents.contents.summaries).toHaveLength(3)
    // An empty store takes the place of the full one.
    const poorer = createMemoryStore()
    talk(poorer)
    expect(setBacks).toEqual([{ node: 'cloud-a', durable: 0, receipted: 3 }])
    talk(poorer)
    expect(setBacks).toHaveLength(1)
    expect(poorer.contents.events).toMatchObject([{ code: 'gap' }])
    expect(poorer.contents.summaries).toHaveLength(3)
    expect(store.outbox.oldest()).toBe(store.outbox.next())
  })

  test('is noticed again at the next greeting when what it lacks could not be stored', () => {
    const store = open()
    const { talk, setBacks, handlers } = linkWithItems(store)
    talk()
    const poorer = createMemoryStore()
    handlers.failing = true
    expect(() => talk(poorer)).toThrow('disk full')
    handlers.failing = false
    talk(poorer)
    expect(setBacks).toHaveLength(1)
  })

  test('is noticed by its database, whichever of the nodes on it is reached first', () => {
    const store = open()
    const { talk, setBacks } = linkWithItems(store)
    talk({ ...createMemoryStore(), id: utf8('database') }, 'cloud-a')
    // Restored to a copy from before the first item: the same database.
    const copy = { ...createMemoryStore(), id: utf8('database') }
    talk(copy, 'cloud-b')
    expect(setBacks).toEqual([{ node: 'cloud-b', durable: 0, receipted: 3 }])
    expect(copy.contents.summaries).toHaveLength(3)
    talk(copy, 'cloud-b')
    expect(setBacks).toHaveLength(1)
  })

  test('hears of every range of readings again, after a restart of the fog node too', async () => {
    const disk = newDisk()
    const bench = fogBench({ disk })
    const meter = simulatedMeter('m')
    bench.hello('c', meter)
    bench.up('c', report(meter.block(3)))
    await bench.commit()
    meter.block(4)
    bench.hello('c', meter, 8)
    bench.up('c', report(meter.block(2)))
    await bench.commit()
    bench.clock.advance(400_000)
    bench.fog.tick()
    const told = gapsIn(bench.items())
    expect(told).toMatchObject([{ gap: { deviceId: 'm', kind: 'missing', first: 4, last: 7 } }])
    const again = fogBench({ disk })
    again.fog.sendAgain({ node: 'cloud-a', durable: 0, receipted: 9 })
    expect(gapsIn(again.items())).toEqual([...told, ...told])
  })

  test('another cloud node that never had the items is not one', () => {
    const store = open()
    const { talk, setBacks } = linkWithItems(store)
    talk()
    const other = createMemoryStore()
    putItems(store, item(9))
    talk(other, 'cloud-b')
    expect(setBacks).toEqual([])
    expect(other.contents.summaries).toHaveLength(1)
  })
})

test('a fog node with an older or new store loses nothing that it puts under used numbers', () => {
  const before = open()
  const { talk, contents } = linkWithItems(before)
  talk()
  path = join(folder, 'new.db')
  const store = open()
  putItems(store, item(7), item(8))
  const { talk: talkAgain } = link(store, contents)
  talkAgain()
  expect(contents.contents.summaries.map(({ number, summary }) => [number, summary])).toEqual(
    [0, 1, 2, 7, 8].map((index, at) => [at + 1, summaryOf(item(index))]),
  )
  expect(contents.contents.events).toMatchObject([{ code: 'numbers-restarted' }])
})

test.each([
  ['as many items as the cloud has', [4, 5, 6]],
  ['more', [4, 5, 6, 7, 8]],
])('a fog node that lost its newest items and has put %s there since, loses none', (_, later) => {
  const before = open()
  const { talk, contents } = linkWithItems(before)
  const database = { ...contents, id: utf8('database') }
  talk(database)
  // The same store without what came last, used again while the cloud was out of reach.
  path = join(folder, 'lost.db')
  const store = open()
  putItems(store, ...later.map(item))
  const { talk: talkAgain, raised } = link(store, contents)
  talkAgain(database)
  const numbers = contents.contents.summaries.map(({ number, summary }) => [number, summary])
  const expected = [0, 1, 2, ...later].map((index, at) => [at + 1, summaryOf(item(index))])
  expect(numbers).toEqual(expected)
  expect(raised).toEqual([{ type: 'raised', from: later.length + 1, to: 4 }])
  expect(store.outbox.oldest()).toBe(store.outbox.next())
  // And nothing moves where the newest item is the same: only its receipt was lost.
  putItems(store, item(9))
  talkAgain(database)
  expect(raised).toHaveLength(1)
})

test('an item whose receipt was lost is known again, and keeps its number', () => {
  const store = open()
  putItems(store, item(0), item(1), item(2))
  const contents = createMemoryStore()
  const database = { ...contents, id: utf8('database') }
  const copy = join(folder, 'copy.db')
  store.close()
  opened.pop()
  cpSync(path, copy)
  link(open(), contents).talk(database)
  path = copy
  const again = open()
  const { talk, raised } = link(again, contents)
  talk(database)
  expect(raised).toEqual([])
  expect(contents.contents.summaries.map(({ number }) => number)).toEqual([1, 2, 3])
  expect(again.outbox.next()).toBe(4)
})

test('a window of which the cloud holds another history is given up, by its start', () => {
  const store = open()
  const { talk, conflicts } = link(store)
  putItems(store, item(0))
  talk()
  putItems(store, summaryItem({ readings: 31, powerSumW: 15_500 }))
  talk()
  expect(conflicts).toEqual([1_767_225_600])
})

test('what comes later for such a window never takes the place of the fuller sums', async () => {
  const bench = fogBench()
  const meter = simulatedMeter('m')
  bench.hello('c', meter)
  bench.up('c', report(meter.block(4)))
  await bench.commit()
  const summaries = () =>
    bench.items().flatMap((sent) => (sent.type === 'summary' ? [sent.summary] : []))
  const closeWindows = () => {
    bench.clock.advance(400_000)
    bench.fog.tick()
  }
  closeWindows()
  const [{ startS, endS } = { startS: 0, endS: 0 }] = summaries()
  bench.fog.yieldWindow(startS)
  bench.up('c', report(meter.block(1, 0, { timeS: endS })))
  await bench.commit()
  closeWindows()
  // Revision 0 again, which the cloud refuses again; a revision 1 it would have taken.
  expect(summaries().map(({ revision, readings }) => [revision, readings])).toEqual([
    [0, 4],
    [0, 1],
  ])
  const codes = bench.items().map((sent) => (sent.type === 'event' ? sent.event.code : sent.type))
  expect(codes).toContain('window-conflict')
})

const second = (offset: number) => ({ timeS: 1_767_225_600 + offset })

/** A node on the file at `path`, and its cloud, which it reaches only while told to talk. */
function nodeWorld() {
  const clock = virtualClock()
  const { contents, ...cloudStore } = createMemoryStore()
  const cloud = cloudBehind(cloudStore, clock)
  const fog = device('fog', 'fog-1')
  let channels = 0

  function begin() {
    const store = open()
    if (store.restored !== null) store.settleRestored([])
    const bench = fogBench({ store, clock })
    const uplink = createUplink({
      outbox: store.outbox,
      receipts: store.receipts,
      store: store.id,
      clock,
      crypto: nodeCrypto,
      onRevocations: () => undefined,
      onSuperseded: () => undefined,
      onSetBack: (setBack) => bench.fog.sendAgain(setBack),
      onWindowConflict: (startS) => bench.fog.yieldWindow(startS),
      onWithdraw: (deviceId, first, through) => bench.fog.withdraw(deviceId, first, through),
      credentialOf: (deviceId) => bench.fog.credentialOf(deviceId),
    })
    async function take(meter: ReturnType<typeof simulatedMeter>, from: number, count: number) {
      bench.hello(`meter-${++channels}`, meter)
      const readings = Array.from({ length: count }, (_, index) => second(from + index))
      bench.up(`meter-${channels}`, report(meter.sign(readings)))
      await bench.commit()
      await settled()
      bench.clock.advance(400_000)
      bench.fog.tick()
    }
    function talk() {
      const cid = `uplink-${++channels}`
      cloud.opened(cid, fog.credential)
      let up = uplink.onOpen('cloud-a')
      while (up.length > 0) {
        const down = up.flatMap((payload) => cloud.received(cid, fog.credential, payload))
        up = [...down, ...cloud.flush()].flatMap((output) =>
          output.type === 'send' ? uplink.onMessage(output.payload) : [],
        )
        bench.clock.advance(300)
        bench.fog.tick()
        up.push(...uplink.tick())
      }
      uplink.onClosed()
      cloud.closed(cid)
    }
    return { take, talk }
  }
  const windows = () =>
    contents.summaries
      .filter(({ latest }) => latest)
      .map(({ summary: { revision, readings } }) => [revision, readings])
  const codes = () => contents.events.map(({ code }) => code)
  return { begin, windows, codes, contents }
}

async function copyTo(name: string): Promise<void> {
  const source = new BetterSqlite3(path)
  await source.backup(join(folder, name))
  source.close()
}

function restoreFrom(name: string): void {
  path = join(folder, name)
  markRestored(path)
}

describe('a fog node restored while its cloud is away', () => {
  test('takes back no sums: neither its first revision of a window counts, nor those behind it', async () => {
    const { begin, windows, codes, contents } = nodeWorld()
    const [one, two, three] = [1, 2, 3].map((id) => simulatedMeter(`meter-${id}`, id))
    const former = begin()
    await copyTo('copy.db')
    await former.take(one!, 1, 20)
    former.talk()
    expect(windows()).toEqual([[0, 20]])

    restoreFrom('copy.db')
    const present = begin()
    // Two revisions wait for the cloud, the first with a number it has and one with a free one.
    await present.take(two!, 1, 3)
    await present.take(three!, 1, 2)
    present.talk()
    present.talk()
    expect(windows()).toEqual([[0, 20]])
    expect(contents.refused.map(({ code }) => code)).toEqual(Array(2).fill('summary/conflict'))
    expect(codes()).toContain('window-conflict')
    expect(codes()).not.toContain('summary-shrunk')
    expect(contents.fogs.get('fog-1')?.totals.readings).toBe(20n)

    // A restart does not bring the window back, and a later one is nobody else's.
    const again = begin()
    await again.take(two!, 10, 4)
    await again.take(two!, 70, 5)
    again.talk()
    expect(windows()).toEqual([
      [0, 20],
      [0, 5],
    ])
  })

  test('goes on where the cloud is: late readings of a window that did not change meanwhile count', async () => {
    const { begin, windows, codes } = nodeWorld()
    const [one, two, three, four] = [1, 2, 3, 4].map((id) => simulatedMeter(`meter-${id}`, id))
    const former = begin()
    await former.take(one!, 1, 20)
    await copyTo('copy.db')
    await former.take(two!, 70, 9)
    former.talk()

    restoreFrom('copy.db')
    const present = begin()
    await present.take(three!, 30, 3)
    await present.take(four!, 33, 2)
    present.talk()
    expect(windows()).toEqual([
      [0, 9],
      [2, 25],
    ])
    expect(codes()).not.toContain('window-conflict')
  })
})

describe('windows', () => {
  const T0 = 1_767_225_600
  const plain = { powerW: 100, voltageDv: 2_300, importWh: 1, exportWh: 0, status: 0 }
  const reading = (timeS: number) => ({ ...plain, timeS })

  test('say again what they said, but not what they are about to revise', () => {
    const windows = createWindows(windowDefaults)
    const add = (timeS: number) =>
      windows.add({ meter: 0, readings: [reading(timeS)], receivedS: T0, nowMs: 0 })
    add(T0 + 1)
    add(T0 + 901)
    const issued = windows.closeAll()
    expect(windows.lastIssued()).toEqual(issued)
    add(T0 + 2)
    expect(windows.lastIssued()).toEqual(issued.slice(1))
    const revised = windows.closeAll()
    expect(windows.lastIssued()).toEqual([...revised, ...issued.slice(1)])
  })

  test('one that is dropped is gone from the next checkpoint too', () => {
    const windows = createWindows(windowDefaults)
    windows.add({ meter: 0, readings: [reading(T0 + 1)], receivedS: T0, nowMs: 0 })
    windows.closeAll()
    windows.saved()
    expect(windows.drop(T0)).toBe(true)
    expect(windows.drop(T0)).toBe(false)
    expect(windows.changes()).toEqual({ rows: [], removed: [T0] })
  })
})

function bigEndian(value: number): Uint8Array {
  const bytes = new Uint8Array(4)
  new DataView(bytes.buffer).setUint32(0, value)
  return bytes
}

/** A meter on a file, a fog node in memory; `restore` puts the one backup in the file's place. */
function meterWorld() {
  const file = join(folder, 'meter.db')
  const key = nodeCrypto.signingKey(new Uint8Array(32).fill(1))
  const clock = virtualClock()
  const bench = fogBench({ clock })
  const credential = meterCredential('m')
  let [number, channels] = [0, 0]

  function begin(drawn = 0) {
    const store = openMeterStore(file)
    if (store.restored !== null) store.settleRestored(() => bigEndian(drawn))
    const settings = { ...meterDefaults, mode: 'block' as const, maxReadings: 4 }
    const options = { crypto: nodeCrypto, key, deviceId: 'm', clock, settings }
    const meter = createMeter({ ...options, store: store.meter('m') })
    return { meter, store }
  }
  async function deliver({ meter }: ReturnType<typeof begin>) {
    const cid = `channel-${++channels}`
    bench.fog.open(cid, credential)
    let payloads = meter.onOpen()
    while (payloads.length > 0) {
      for (const payload of payloads) void bench.fog.receive(cid, payload)
      await bench.commit()
      await settled()
      payloads = bench.sent.splice(0).flatMap(({ message }) => meter.onMessage(encodeDown(message)))
    }
  }
  const measure = ({ meter }: ReturnType<typeof begin>, count: number) => {
    for (let index = 0; index < count; index++)
      meter.measure({ timeS: 1_767_225_600 + 10 * ++number, powerW: 100, importWh: number })
  }
  async function backup() {
    const copy = new BetterSqlite3(file)
    await copy.backup(join(folder, 'copy.db'))
    copy.close()
  }
  async function restore() {
    for (const end of ['', '-wal', '-shm']) rmSync(file + end, { force: true })
    const restored = new BetterSqlite3(join(folder, 'copy.db'))
    await restored.backup(file)
    restored.close()
    markRestored(file)
  }
  const durable = () => bench.fog.meters()[0]?.durable ?? 0
  const conflicts = () => bench.fog.counters().refused['conflict'] ?? 0
  return { bench, begin, deliver, measure, backup, restore, durable, conflicts }
}

describe('a meter that was set back', () => {
  test('goes on above the numbers its former life used: nothing new is refused', async () => {
    const { bench, begin, deliver, measure, backup, restore, durable } = meterWorld()
    const first = begin()
    measure(first, 6)
    await deliver(first)
    first.store.close()
    await backup()
    const former = begin()
    measure(former, 10)
    await deliver(former)
    former.store.close()
    expect(durable()).toBe(16)

    await restore()
    const again = begin()
    measure(again, 8)
    await deliver(again)
    expect(again.meter.drained()).toBe(true)
    expect(again.meter.status().refusedBlocks).toBe(0)
    expect(bench.fog.counters().readings).toBe(16 + 8)
    expect(durable()).toBe(again.meter.status().newestNumber)
    again.store.close()
  })

  test.each([
    ['above the first: nothing is lost', 100, 2 ** 29, 8],
    ['below the first: what it measured before it was told is given up', 2 ** 29, 100, 0],
  ])(
    'twice to one backup uses no number twice, where the second draw lies %s',
    async (_, one, two, kept) => {
      const { bench, begin, deliver, measure, backup, restore, durable, conflicts } = meterWorld()
      const first = begin()
      measure(first, 4)
      await deliver(first)
      first.store.close()
      await backup()
      const ends: number[] = []
      for (const drawn of [one, two]) {
        await restore()
        const life = begin(drawn)
        measure(life, 8)
        ends.push(life.meter.status().newestNumber)
        await deliver(life)
        expect(life.meter.status().refusedBlocks).toBe(0)
        life.store.close()
      }
      expect(ends).toEqual([one, two].map((drawn) => 4 + 2 ** 20 + drawn + 8))
      expect(bench.fog.counters().readings).toBe(4 + 8 + kept)
      // The next reading is above everything either life has used.
      const third = begin()
      measure(third, 4)
      await deliver(third)
      expect(third.meter.drained()).toBe(true)
      expect(conflicts()).toBe(0)
      expect(durable()).toBe(Math.max(...ends) + 4)
      third.store.close()
    },
  )

  test('draws from a range within which no welcome is out of reach', async () => {
    const { begin, measure, backup, restore } = meterWorld()
    begin().store.close()
    await backup()
    const starts: number[] = []
    for (const drawn of [0, 2 ** 30 - 1, 2 ** 30, 2 ** 32 - 1]) {
      await restore()
      const life = begin(drawn)
      measure(life, 1)
      starts.push(life.meter.status().newestNumber)
      life.store.close()
    }
    const [least, most] = [2 ** 20 + 1, 2 ** 20 + 2 ** 30]
    expect(starts).toEqual([least, most, least, most])
    expect(3 * most).toBeLessThan(2 ** 32)
  })
})
