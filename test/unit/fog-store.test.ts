import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import BetterSqlite3 from 'better-sqlite3'
import * as fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { nodeCrypto } from '#crypto-node'
import { defaults } from '#defaults'
import { codeOf } from '#errors'
import type { FogStore } from '#fog'
import { openFogStore, readJournal, type JournalEntry, type SqliteFogStore } from '#fog-store'
import { decodeGroup } from '../../libs/fog-store/group.ts'
import { decodeItem, encodeItem } from '#messages'
import {
  fogBench,
  report,
  settled,
  simulatedMeter,
  startS as beginS,
  virtualClock,
} from '../support/fog.ts'
import { anyHistory, playHistory, type Storage } from '../support/fog-world.ts'

let folder: string
let path: string
const opened: SqliteFogStore[] = []
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'fogmeter-fog-store-'))
  path = join(folder, 'fog.db')
})
afterEach(() => {
  for (const store of opened.splice(0)) store.close()
  rmSync(folder, { recursive: true, force: true })
})

function open(clock = virtualClock()): SqliteFogStore {
  const store = openFogStore(path, clock)
  opened.push(store)
  return store
}

function journal(): JournalEntry[] {
  const entries: JournalEntry[] = []
  readJournal(path, nodeCrypto, (entry) => void entries.push(entry))
  return entries
}

const bytes = (...values: number[]) => Uint8Array.from(values)
const plain = (value: Uint8Array | undefined) => [...(value ?? [])]
const commit = { committedS: 10, blocks: [], meters: [], items: [] }
const meter = { id: 1, deviceId: 'm', credential: bytes(1) }

describe('transactions', () => {
  test('what was committed is there after a restart, in order, with the ids it was given', () => {
    const store = open()
    const one = store.commit({
      ...commit,
      meters: [meter],
      blocks: [
        { meterId: 1, body: bytes(1, 2) },
        { meterId: 1, body: bytes(3) },
      ],
    })
    const two = store.commit({
      ...commit,
      committedS: 11,
      blocks: [{ meterId: 1, body: bytes(4) }],
    })
    expect(two).toBe(one + 1)
    const again = open()
    const groups = again.groupsAfter(0, 10)
    expect(groups.map(({ id, committedS }) => [id, committedS])).toEqual([
      [one, 10],
      [two, 11],
    ])
    expect(groups[0]?.blocks?.map(({ meterId, body }) => [meterId, [...body]])).toEqual([
      [1, [1, 2]],
      [1, [3]],
    ])
    expect(again.groupsAfter(one, 10)).toHaveLength(1)
    expect(again.groupsAfter(0, 1)).toHaveLength(1)
  })

  test('a commit that breaks a rule leaves nothing behind, not even an outbox number', () => {
    const store = open()
    store.commit({ ...commit, meters: [meter], items: [bytes(1)] })
    const clash = { ...commit, meters: [{ ...meter, id: 2 }], items: [bytes(2)] }
    let code = ''
    try {
      store.commit({ ...clash, blocks: [{ meterId: 2, body: bytes(9) }] })
    } catch (error) {
      code = codeOf(error)
    }
    expect(code).toBe('sqlite/constraint')
    expect([store.outbox.next(), store.groupsAfter(0, 10)]).toEqual([2, []])
    store.commit({ ...commit, items: [bytes(3)] })
    expect(store.outbox.read(1, 10).map(({ first, body }) => [first, [...body]])).toEqual([
      [1, [1]],
      [2, [3]],
    ])
  })

  test('a checkpoint replaces states, adds and removes windows', () => {
    const store = open()
    store.commit({ ...commit, meters: [meter] })
    const rows = [
      { startS: -1, state: bytes(7) },
      { startS: 900, state: bytes(8) },
    ]
    const checkpoint = { throughId: 3, meters: [{ id: 1, state: bytes(5) }], items: [] }
    store.checkpoint({ gaps: [], ...checkpoint, windows: { rows, removed: [] } })
    const change = [{ startS: -1, state: bytes(9) }]
    store.checkpoint({
      gaps: [],
      ...checkpoint,
      throughId: 4,
      windows: { rows: change, removed: [900] },
    })
    const loaded = open().load()
    expect(loaded.throughId).toBe(4)
    expect(loaded.windows.map(({ startS, state }) => [startS, [...state]])).toEqual([[-1, [9]]])
    expect(plain(loaded.meters[0]?.state ?? undefined)).toEqual([5])
  })

  test('a new credential replaces the old one and keeps the state', () => {
    const store = open()
    store.commit({ ...commit, meters: [meter] })
    store.checkpoint({
      gaps: [],
      throughId: 0,
      meters: [{ id: 1, state: bytes(5) }],
      windows: { rows: [], removed: [] },
      items: [],
    })
    store.commit({ ...commit, meters: [{ ...meter, credential: bytes(2) }] })
    const [row] = open().load().meters
    expect([plain(row?.credential), plain(row?.state ?? undefined)]).toEqual([[2], [5]])
  })

  test('pruning never touches what a restart needs', () => {
    const store = open()
    for (let at = 1; at <= 4; at++) {
      const blocks = [{ meterId: 1, body: bytes(at) }]
      store.commit({ ...commit, committedS: at, blocks, meters: at === 1 ? [meter] : [] })
    }
    expect(store.prune(100)).toBe(0)
    const windows = { rows: [], removed: [] }
    store.checkpoint({ gaps: [], throughId: 3, meters: [], windows, items: [] })
    expect(store.prune(3)).toBe(2)
    expect(store.prune(100)).toBe(1)
    expect(store.groupsAfter(0, 10).map(({ id }) => id)).toEqual([4])
    store.checkpoint({ gaps: [], throughId: 4, meters: [], windows, items: [] })
    expect(store.prune(100)).toBe(1)
    // Ids go on even from an empty log: a checkpoint must never point into the future.
    expect(open().commit({ ...commit, blocks: [{ meterId: 1, body: bytes(5) }] })).toBe(5)
  })

  test('ranges are kept until they are old; one that grows replaces itself, a damaged one is left out', () => {
    const [hole, grown, other] = [
      [1, 5],
      [1, 9],
      [3, 4],
    ].map(([from = 0, last = 0]) => {
      const gap = { deviceId: 'm', kind: 'missing', startS: null, endS: null, readings: 0 } as const
      const energy = { importWh: null, exportWh: null }
      return encodeItem({ type: 'gap', gap: { ...gap, ...energy, first: from, last } })
    }) as [Uint8Array, Uint8Array, Uint8Array]
    const store = open()
    const keep = (...gaps: { key: string; body: Uint8Array }[]) => {
      const windows = { rows: [], removed: [] }
      store.checkpoint({ throughId: 0, meters: [], windows, items: [], gaps })
    }
    const kept = () =>
      open()
        .gaps()
        .map((body) => [...body])
    keep({ key: 'a', body: hole }, { key: 'b', body: other })
    keep({ key: 'a', body: grown })
    expect(kept()).toEqual([[...grown], [...other]])
    const raw = new BetterSqlite3(path)
    raw.exec("UPDATE gap SET body = x'c500' WHERE key = 'a'")
    raw.exec("UPDATE gap SET at = 5 WHERE key = 'b'")
    expect(kept()).toEqual([[...other]])
    store.prune(6)
    expect(kept()).toEqual([])
    raw.close()
  })

  test('one flipped bit of a group is explained, more are not, and neither stops the others', () => {
    const store = open()
    const blocks = [{ meterId: 1, body: bytes(1, 2, 3) }]
    store.commit({ ...commit, meters: [meter], blocks })
    store.commit({ ...commit, blocks })
    const raw = new BetterSqlite3(path)
    const written = raw.prepare('SELECT blocks FROM block').pluck().get() as Uint8Array
    const flipped = (...bits: number[]) => {
      const rotten = Uint8Array.from(written)
      for (const bit of bits) rotten[bit >> 3]! ^= 1 << (bit & 7)
      raw.prepare('UPDATE block SET blocks = ? WHERE id = 1').run(rotten)
      return store.groupsAfter(0, 10).map(({ blocks: found, mended }) => {
        return { found: found?.map(({ body }) => [...body]) ?? null, mended }
      })
    }
    const whole = { found: [[1, 2, 3]], mended: false }
    for (let bit = 0; bit < written.length * 8; bit++) {
      const [first, second] = flipped(bit)
      expect(first).toEqual({ ...whole, mended: true })
      expect(second).toEqual(whole)
    }
    expect(flipped(100, 101)).toEqual([{ found: null, mended: false }, whole])
    raw.close()
  })

  test('a damaged group is reported as such', () => {
    const store = open()
    store.commit({ ...commit, meters: [meter], blocks: [{ meterId: 1, body: bytes(1) }] })
    const raw = new BetterSqlite3(path)
    raw.prepare('UPDATE block SET blocks = ?').run(bytes(0xff))
    raw.close()
    expect(store.groupsAfter(0, 10)).toMatchObject([{ blocks: null, mended: false }])
    expect(() => decodeGroup(bytes(0xff))).toThrow(
      expect.objectContaining({ code: 'fog/store-damaged' }),
    )
  })
})

const items = (store: FogStore) => store.outbox.read(1, 100).map(({ first }) => first)

describe('outbox', () => {
  test('acknowledged items are gone at once, and for good after the next transaction', () => {
    const store = open()
    store.commit({ ...commit, items: [bytes(1), bytes(2), bytes(3)] })
    store.outbox.dropThrough(2)
    expect([store.outbox.oldest(), items(store), store.backlog().items]).toEqual([3, [3], 1])
    // A crash now: they are offered again, with the same numbers.
    expect(items(open())).toEqual([1, 2, 3])
    store.commit({ ...commit, items: [bytes(4)] })
    expect(items(open())).toEqual([3, 4])
  })

  test('numbers are never used twice, even when everything was acknowledged', () => {
    const store = open()
    store.commit({ ...commit, items: [bytes(1), bytes(2)] })
    store.outbox.dropThrough(2)
    store.commit({ ...commit, blocks: [], items: [] })
    const again = open()
    expect([again.outbox.oldest(), again.outbox.next(), items(again)]).toEqual([3, 3, []])
    again.outbox.raiseNext(10)
    again.outbox.raiseNext(4)
    expect([open().outbox.next(), again.outbox.oldest()]).toEqual([10, 10])
  })

  test('a receipt beyond what exists acknowledges nothing that comes later', () => {
    const store = open()
    store.commit({ ...commit, items: [bytes(1)] })
    store.outbox.dropThrough(1_000)
    store.commit({ ...commit, items: [bytes(2)] })
    expect(items(store)).toEqual([2])
  })

  test('a refused item leaves the outbox and stays to be looked at', () => {
    const store = open()
    store.commit({ ...commit, items: [bytes(1), bytes(2)] })
    store.outbox.refuse(1, 1, 'summary/impossible')
    expect(items(store)).toEqual([2])
    const raw = new BetterSqlite3(path, { readonly: true })
    expect(raw.prepare('SELECT number, code FROM refused').all()).toEqual([
      { number: 1, code: 'summary/impossible' },
    ])
    raw.close()
  })
})

function refusedRows(): unknown {
  const raw = new BetterSqlite3(path, { readonly: true })
  try {
    return raw.prepare('SELECT count(*) AS n, min(number) AS oldest FROM refused').get()
  } finally {
    raw.close()
  }
}

describe('refused items', () => {
  test('are kept up to a number, the oldest go, and that is counted', () => {
    const store = open()
    const refuse = (count: number) => {
      store.commit({ ...commit, items: Array.from({ length: count }, () => bytes(1)) })
      store.outbox.refuse(store.outbox.oldest(), store.outbox.next() - 1, 'register/x')
    }
    refuse(defaults.refusedKept)
    expect([refusedRows(), store.refusedForgotten()]).toEqual([
      { n: defaults.refusedKept, oldest: 1 },
      0,
    ])
    for (let round = 0; round < 3; round++) refuse(700)
    expect(refusedRows()).toEqual({ n: defaults.refusedKept, oldest: 2_101 })
    expect(store.refusedForgotten()).toBe(2_100)
    expect([items(store), store.backlog().items]).toEqual([[], 0])
  })

  test('a damaged one that joins them counts once its transaction is over', () => {
    const store = open()
    store.commit({ ...commit, items: Array.from({ length: 1_001 }, () => bytes(1)) })
    store.outbox.refuse(1, 1_000, 'register/x')
    expect(store.refusedForgotten()).toBe(0)
    expect(() => store.replaceDamaged(1_001, [null as unknown as Uint8Array])).toThrow(TypeError)
    expect([store.refusedForgotten(), refusedRows()]).toEqual([0, { n: 1_000, oldest: 1 }])
    store.replaceDamaged(1_001, [])
    expect([store.refusedForgotten(), refusedRows()]).toEqual([1, { n: 1_000, oldest: 2 }])
  })
})

describe('with the core', () => {
  test('a node that dies goes on where it was: log, numbers, windows, outbox', async () => {
    const clock = virtualClock()
    const device = simulatedMeter('meter-1')
    const first = fogBench({ store: open(clock), clock })
    first.hello('one', device)
    first.up('one', report(device.block(8)), report(device.block(3)))
    await first.commit()
    clock.advance(1_000)
    first.fog.tick()
    first.up('one', report(device.block(2)))
    await first.commit()

    const store = open(clock)
    const second = fogBench({ store, clock })
    second.hello('two', device, 12)
    expect(second.take('two')).toEqual([{ type: 'welcome', durable: 13 }])
    second.up('two', report(device.block(2)))
    await second.commit()
    clock.advance(200_000)
    second.fog.tick()
    const summaries = store.outbox
      .read(1, 100)
      .map(({ body }) => decodeItem(body))
      .flatMap((item) => (item.type === 'summary' ? [item.summary] : []))
    expect(summaries.map((s) => [s.startS, s.readings, s.revision])).toEqual([
      [beginS, 6, 0],
      [beginS + 60, 6, 0],
      [beginS + 120, 3, 0],
    ])
    const numbers = journal().flatMap(({ block }) => block.readings.map(({ number }) => number))
    expect(numbers).toEqual(Array.from({ length: 15 }, (_, index) => index + 1))
  })

  test('an orderly end leaves nothing to replay', async () => {
    const clock = virtualClock()
    const device = simulatedMeter('meter-1')
    const store = open(clock)
    const bench = fogBench({ store, clock })
    bench.hello('one', device)
    bench.up('one', report(device.block(3)))
    await settled()
    bench.fog.close()
    expect(bench.take('one').at(-1)).toEqual({ type: 'receipt', durable: 3 })
    expect(store.groupsAfter(store.load().throughId, 10)).toEqual([])
  })

  test('any history on the real file: nothing lost, nothing twice', async () => {
    let run = 0
    const storage = (): Storage => {
      path = join(folder, `fog-${run++}.db`)
      let store = open()
      return {
        open(failing) {
          store = open()
          const guard = () => {
            if (failing()) throw new Error('disk full')
          }
          return {
            ...store,
            commit: (change) => (guard(), store.commit(change)),
            checkpoint: (change) => (guard(), store.checkpoint(change)),
          }
        },
        blocks: journal,
        items: () => store.outbox.read(1, 100_000).map(({ body }) => decodeItem(body)),
      }
    }
    await fc.assert(
      fc.asyncProperty(anyHistory, async (steps) => {
        const { signed, summedUp } = await playHistory(storage(), steps)
        expect(summedUp).toBe(signed)
      }),
      { numRuns: 15 * Number(process.env['FOGMETER_LONG'] ?? 1) },
    )
  })
})
