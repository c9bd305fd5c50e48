import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { fromBase64Url } from '#bytes'
import { createMemoryStore } from '#cloud'
import { isoTime, openCloudQueries, openCloudStore, parsePeriod } from '#cloud-store'
import { decodeCredential } from '#credential'
import { nodeCrypto } from '#crypto-node'
import type { Item, Summary } from '#messages'
import { verifyRegister } from '#reading'
import { openDatabase } from '#sqlite'
import { migrations } from '../../libs/cloud-store/schema.ts'
import {
  credentialItem,
  device,
  fogStatus,
  gapItem,
  hello,
  items,
  register,
  sent,
  startS,
  summaryItem,
  testCloud,
} from '../support/cloud.ts'
import { codeThrown } from '../support/coded.ts'

const fog1 = device('fog', 'fog-1')
const fog2 = device('fog', 'fog-2')
const kitchen = device('meter', 'kitchen')
const cellar = device('meter', 'cellar')
const nowS = startS + 7_200

let folder = ''
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'fogmeter-cloud-store-'))
})
afterEach(() => rmSync(folder, { recursive: true }))

function open() {
  const path = join(folder, 'cloud.db')
  const file = openCloudStore(path)
  const drain = testCloud(file.store)
  drain.connect(fog1, 'c1')
  drain.connect(fog2, 'c2')
  const deliver = (fog: typeof fog1, first: number, ...list: Item[]) =>
    sent(drain.deliver(fog, fog === fog1 ? 'c1' : 'c2', items(first, list)))
  return { ...file, path, drain, deliver }
}

/** The window `index` quarters of an hour after the start. */
function quarter(index: number, changes: Parameters<typeof summaryItem>[0] = {}): Item {
  const windowStartS = startS + index * 900
  return summaryItem({ startS: windowStartS, endS: windowStartS + 900, ...changes })
}

describe('queries', () => {
  test('on an empty store', () => {
    const { queries, database } = open()
    expect(queries.listSummaries({})).toEqual({ items: [], next: null })
    expect(queries.newestId()).toBe(0)
    expect(queries.status(nowS)).toMatchObject({ fogs: 0, readings: 0, newestEnd: null })
    expect(queries.prototypeSummary()).toEqual({
      total_packets: 0,
      avg_power_overall: null,
      avg_voltage_overall: null,
      latest_data: [],
    })
    database.close()
  })

  test('a summary with its means', () => {
    const { queries, deliver, database } = open()
    deliver(fog1, 1, summaryItem())
    expect(queries.listSummaries({}).items).toEqual([
      {
        synchronised: 30,
        id: 1,
        fog: 'fog-1',
        start: '2026-01-01T00:00:00Z',
        end: '2026-01-01T00:15:00Z',
        startS,
        endS: startS + 900,
        revision: 0,
        meters: 2,
        readings: 30,
        powerMinW: 100,
        powerMeanW: 500,
        powerMaxW: 900,
        powerSumW: 15_000,
        voltageMinV: 228,
        voltageMeanV: 230,
        voltageMaxV: 232,
        voltageSumDv: 69_000,
        voltageCount: 30,
        importWh: 125,
        exportWh: 0,
        estimated: 0,
        unknownTime: 0,
        substitute: 0,
        received: '2026-01-01T00:00:00Z',
      },
    ])
    database.close()
  })

  test('the prototype’s summary: kW and V, distinct meters, windows counted once', () => {
    const { queries, deliver, database } = open()
    const second = { meters: 3, readings: 10, powerSumW: 2_000, importWh: 20 }
    const voltages = { voltageCount: 10, voltageSumDv: 23_100 }
    deliver(fog1, 1, quarter(0), quarter(1, { ...second, ...voltages }))
    deliver(fog1, 3, quarter(0, { revision: 1, powerSumW: 18_000 }))
    deliver(fog2, 1, quarter(0, { powerSumW: 15_000 }))
    expect(queries.prototypeSummary()).toEqual({
      total_packets: 3,
      avg_power_overall: 0.5,
      avg_voltage_overall: 230.1,
      latest_data: [
        { fog_id: 'fog-1', num_meters: 3, avg_power: 0.2, avg_voltage: 231 },
        { fog_id: 'fog-2', num_meters: 2, avg_power: 0.5, avg_voltage: 230 },
      ],
    })
    database.close()
  })

  test('filters and pages', () => {
    const { queries, deliver, database } = open()
    for (let index = 0; index < 5; index++) {
      deliver(fog1, index + 1, quarter(index))
      deliver(fog2, index + 1, quarter(index))
    }
    const starts = (query: Parameters<typeof queries.listSummaries>[0]) =>
      queries.listSummaries(query).items.map((view) => (view.startS - startS) / 900)
    expect(starts({ fog: 'fog-1' })).toEqual([4, 3, 2, 1, 0])
    expect(starts({ fog: 'fog-1', since: startS + 900, until: startS + 2_700 })).toEqual([2, 1])
    expect(starts({ fog: 'nobody' })).toEqual([])
    const seen: string[] = []
    let cursor: string | undefined
    do {
      const page = queries.listSummaries({ limit: 3, cursor })
      seen.push(...page.items.map((view) => `${view.start} ${view.fog}`))
      cursor = page.next ?? undefined
    } while (cursor !== undefined)
    expect(seen).toHaveLength(10)
    expect(new Set(seen).size).toBe(10)
    expect(seen).toEqual(seen.toSorted().toReversed())
    database.close()
  })

  test('watching sees every revision in the order it was stored', () => {
    const { queries, deliver, database } = open()
    deliver(fog1, 1, quarter(1))
    const from = queries.newestId()
    deliver(fog2, 1, quarter(0))
    deliver(fog1, 2, quarter(1, { revision: 1, importWh: 130 }))
    const seen = queries.watchSummaries({ after: from })
    expect(seen.map((view) => [view.fog, view.revision])).toEqual([
      ['fog-2', 0],
      ['fog-1', 1],
    ])
    expect(queries.watchSummaries({ after: from, fog: 'fog-1' })).toHaveLength(1)
    expect(queries.watchSummaries({ after: queries.newestId() })).toEqual([])
    database.close()
  })

  test('fogs: lag, known backlog, counts, what they said', () => {
    const { queries, deliver, drain, database } = open()
    drain.deliver(fog1, 'c1', hello(1, 8))
    deliver(fog1, 1, credentialItem(kitchen), quarter(0), quarter(0, { importWh: 9 }))
    deliver(fog1, 4, { type: 'fogStatus', status: fogStatus })
    const [view] = queries.listFogs({ nowS }).items
    expect(view).toMatchObject({
      fog: 'fog-1',
      newestEnd: '2026-01-01T00:15:00Z',
      lagSeconds: 7_200 - 900,
      backlog: 3,
      summaries: 1,
      readings: 30,
      metersInNewest: 2,
      meters: 1,
      importWh: 125,
      refused: 1,
      status: fogStatus,
    })
    expect(queries.listFogs({ nowS, fog: 'fog-2' }).items).toEqual([])
    const refusedByFogs = { 'bad-signature': 2, early: 1 }
    const counts = { fogs: 1, backlog: 3, refused: 1, refusedByFogs, meters: 1 }
    expect(queries.status(nowS)).toMatchObject(counts)
    database.close()
  })

  test('what fog nodes refused is added up by reason, each as it last said', () => {
    const { queries, deliver, database } = open()
    expect(queries.status(nowS).refusedByFogs).toEqual({})
    const say = (fog: typeof fog1, number: number, refused: Record<string, number>) =>
      deliver(fog, number, { type: 'fogStatus', status: { ...fogStatus, refused } })
    say(fog1, 1, { conflict: 1 })
    say(fog1, 2, { conflict: 2, early: 7 })
    say(fog2, 1, { conflict: 3, 'bad-signature': 1 })
    const refusedByFogs = { 'bad-signature': 1, conflict: 5, early: 7 }
    expect(queries.status(nowS)).toMatchObject({ refused: 0, refusedByFogs })
    expect(queries.listFogs({ nowS, fog: 'fog-1' }).items[0]?.status?.refused).toEqual({
      conflict: 2,
      early: 7,
    })
    database.close()
  })

  test('meters with their newest register, wherever it came from', () => {
    const { queries, deliver, database } = open()
    deliver(fog1, 1, credentialItem(kitchen), register(kitchen, 15), credentialItem(cellar))
    deliver(fog2, 1, register(kitchen, 45))
    deliver(fog1, 4, register(kitchen, 30))
    const [first, second] = queries.listMeters({}).items
    expect(first).toMatchObject({ meter: 'kitchen', number: 45, importWh: 1_315, flags: [] })
    expect(first?.time).toBe(isoTime(startS + 45 * 60))
    expect(second).toMatchObject({ meter: 'cellar', fog: 'fog-1', number: null, time: null })
    expect(queries.listMeters({ fog: 'fog-2' }).items).toEqual([])
    expect(queries.listMeters({ limit: 1 })).toMatchObject({ next: '1' })
    expect(queries.listMeters({ limit: 1, cursor: '1' }).items[0]?.meter).toBe('cellar')
    database.close()
  })

  test('anyone can verify a register from what the query returns', () => {
    const { queries, deliver, database } = open()
    deliver(fog1, 1, credentialItem(kitchen), register(kitchen, 15))
    deliver(fog1, 3, register(kitchen, 30, { endImportWh: 10 }))
    const { items: views } = queries.listRegisters({ meter: 'kitchen' })
    for (const view of views) {
      const key = nodeCrypto.verifyKey(decodeCredential(fromBase64Url(view.credential)).publicKey)
      const statement = verifyRegister(key, fromBase64Url(view.cose))
      expect(statement).toMatchObject({ last: view.last, endImportWh: view.endImportWh })
    }
    expect(views.map((view) => view.flags)).toEqual([['import-back'], []])
    const flagged = queries.listRegisters({ flagged: true })
    expect(flagged.items.map((view) => view.last)).toEqual([30])
    expect(queries.status(nowS)).toMatchObject({ registers: 2, flagged: 1, events: 1 })
    const [event] = queries.listEvents({ code: 'register-backwards' }).items
    expect(event).toMatchObject({ source: 'cloud', fog: 'fog-1', device: 'kitchen' })
    database.close()
  })

  test('bad input has a code, whatever it is', () => {
    const { queries, database } = open()
    for (const limit of [0, -1, 1.5, 1_001, Number.NaN])
      expect(codeThrown(() => queries.listSummaries({ limit }))).toBe('query/bad-limit')
    for (const cursor of ['', '1', '1.2.3', 'x.y', "1.2'; DROP TABLE fog", '1.-2', '1e3.1'])
      expect(codeThrown(() => queries.listSummaries({ cursor }))).toBe('query/bad-cursor')
    expect(queries.listSummaries({ fog: "' OR 1=1 --" }).items).toEqual([])
    database.close()
  })

  test('gaps: grown ones once, by meter, kind and the time they touch, and where else to look', () => {
    const { queries, deliver, database } = open()
    const open1 = { kind: 'substitute', first: 40, last: 41, readings: 2 } as const
    deliver(fog1, 1, credentialItem(kitchen), gapItem(), gapItem(open1))
    deliver(fog1, 4, gapItem({ ...open1, last: 45, readings: 4, endS: startS + 3_600 }))
    deliver(fog1, 5, gapItem({ deviceId: 'cellar', kind: 'skipped', startS: null, endS: null }))
    const all = queries.listGaps({}).items
    expect(all.map(({ kind, last, readings }) => [kind, last, readings])).toEqual([
      ['skipped', 20, 0],
      ['substitute', 45, 4],
      ['missing', 20, 0],
    ])
    expect(all[2]).toMatchObject({
      meter: 'kitchen',
      seconds: 360,
      importWh: 42,
      counted: false,
      alsoAt: [],
    })
    const kinds = (query: Parameters<typeof queries.listGaps>[0]) =>
      queries.listGaps(query).items.map(({ kind }) => kind)
    expect(kinds({ meter: 'kitchen' })).toEqual(['substitute', 'missing'])
    expect(kinds({ kind: 'missing' })).toEqual(['missing'])
    expect(kinds({ fog: 'fog-2' })).toEqual([])
    expect(kinds({ since: startS + 1_261 })).toEqual(['substitute'])
    expect(kinds({ meter: 'kitchen', until: startS + 900 })).toEqual([])
    const page = queries.listGaps({ limit: 2 })
    expect(queries.listGaps({ limit: 2, cursor: page.next! }).items).toEqual([all[2]])
    deliver(fog2, 1, credentialItem(kitchen), register(kitchen, 18))
    expect(queries.listGaps({ kind: 'missing' }).items[0]?.alsoAt).toEqual(['fog-2'])
    database.close()
  })

  test('a second process may look, and may not write', () => {
    const { path, deliver, database } = open()
    deliver(fog1, 1, summaryItem())
    const reader = openCloudQueries(path)
    expect(reader.queries.listSummaries({}).items).toHaveLength(1)
    deliver(fog1, 2, quarter(1))
    expect(reader.queries.listSummaries({}).items).toHaveLength(2)
    reader.close()
    const raw = openDatabase(path, { migrations, readonly: true })
    expect(codeThrown(() => raw.exec('DELETE FROM fog'))).toBe('sqlite/read-only')
    raw.close()
    database.close()
  })
})

/** The SQL of everything `ask` runs, as SQLite plans to do it. */
function plansOf(file: ReturnType<typeof openCloudStore>, ask: () => void): string[] {
  const texts = new Set<string>()
  const prepare = file.database.prepare.bind(file.database)
  file.database.prepare = (sql) => {
    texts.add(sql)
    return prepare(sql)
  }
  ask()
  file.database.prepare = prepare
  return [...texts].flatMap((sql) => {
    const blanks = [...sql.matchAll(/\?/g)].map(() => null)
    const rows = prepare<{ detail: string }>(`EXPLAIN QUERY PLAN ${sql}`).all(...blanks)
    return rows.map((row) => row.detail)
  })
}

test('no list sorts, and the large tables are searched by index', () => {
  const file = open()
  const { queries } = file
  const plans = plansOf(file, () => {
    const all = { fog: 'f', since: 1, until: 2 }
    queries.listSummaries(all)
    queries.listSummaries({ since: 1 })
    queries.listSummaries({ cursor: '1.1' })
    queries.watchSummaries({ after: 1, fog: 'f' })
    queries.listFogs({ nowS })
    queries.listMeters(all)
    queries.listRegisters({ meter: 'm', ...all })
    queries.listRegisters({ fog: 'f' })
    queries.listRegisters({ flagged: true })
    queries.listEvents(all)
    queries.prototypeSummary()
  })
  expect(plans.length).toBeGreaterThan(30)
  expect(plans.filter((detail) => detail.includes('TEMP B-TREE'))).toEqual([])
  // `SCAN … USING INDEX` reads in order and stops at the limit; a bare one would read everything.
  expect(plans.filter((detail) => /^SCAN [ser]$/.test(detail))).toEqual([])
  file.database.close()
})

describe('times as people write them', () => {
  const cases: [text: string, seconds: number][] = [
    ['30m', nowS - 1_800],
    ['1h', nowS - 3_600],
    ['7d', nowS - 604_800],
    ['2w', nowS - 1_209_600],
    ['90s', nowS - 90],
    ['2026-01-01', startS],
    ['2024-02-29', Date.UTC(2024, 1, 29) / 1000],
    ['2026-01-01T00:00', startS],
    ['2026-01-01T00:00:00Z', startS],
    ['2026-01-01T01:00:00+01:00', startS],
    ['2025-12-31T19:00:00.500-05:00', startS],
    [String(startS), startS],
  ]
  test.each(cases)('%s', (text, seconds) =>
    expect(parsePeriod({ since: text }, nowS).since).toBe(seconds),
  )

  test.each([
    '',
    'yesterday',
    '1y',
    '-1h',
    '2026-13-01',
    '2026-02-30',
    '2026-04-31T12:00:00Z',
    '2026-01-01T25:00Z',
    '1h30m',
    ' 1h',
    '9'.repeat(13),
  ])('refused: "%s"', (text) =>
    expect(codeThrown(() => parsePeriod({ until: text }, nowS))).toBe('query/bad-time'),
  )

  test('a period may be open or a single moment, and never ends before it starts', () => {
    expect(parsePeriod({}, nowS)).toEqual({ since: undefined, until: undefined })
    expect(parsePeriod({ since: '1h', until: '1h' }, nowS).since).toBe(nowS - 3_600)
    const backwards = () => parsePeriod({ since: '1h', until: '2h' }, nowS)
    expect(codeThrown(backwards)).toBe('query/bad-period')
  })
})

/** One step of a random history: what the fog delivers, and what happens around it. */
const step = fc.record({
  fog: fc.integer({ min: 0, max: 1 }),
  window: fc.integer({ min: 0, max: 3 }),
  revision: fc.integer({ min: 0, max: 3 }),
  readings: fc.integer({ min: 2, max: 9 }),
  /** 0 goes on; others repeat old numbers, leave a gap, or restart the cloud first. */
  trouble: fc.constantFrom('none', 'none', 'again', 'gap', 'restart'),
})

describe('sums without bound', () => {
  const hugeWh = Number.MAX_SAFE_INTEGER
  const huge = { readings: 2 ** 32, powerMinW: 0, powerMaxW: 10 ** 9, powerSumW: hugeWh }

  test('more than 64 bits are kept exactly and can be asked for', () => {
    const { store, queries, deliver, database } = open()
    const windows = 1_100
    for (let index = 0; index < windows; index += 100) {
      const some = Array.from({ length: 100 }, (_, offset) => quarter(index + offset, huge))
      expect(deliver(fog1, index + 1, ...some)).toEqual([{ type: 'receipt', durable: index + 100 }])
    }
    deliver(fog2, 1, quarter(0, huge))
    const exact = BigInt(hugeWh) * BigInt(windows)
    expect(exact > 2n ** 63n).toBe(true)
    expect(store.transact((tx) => tx.fog('fog-1'))?.totals.powerSumW).toBe(exact)
    const readings = (windows + 1) * 2 ** 32
    expect(queries.status(nowS).readings).toBe(readings)
    expect(queries.prototypeSummary().avg_power_overall).toBeCloseTo(
      (hugeWh * windows) / (windows * 2 ** 32) / 1000,
      3,
    )
    expect(queries.accounting().fogs[0]?.readings).toBe(windows * 2 ** 32)
    expect(queries.listFogs({ nowS, fog: 'fog-1' }).items[0]?.readings).toBe(windows * 2 ** 32)
    database.close()
  })

  test('a window forked stays so over restarts, for one fog, until that is set back again', () => {
    const file = open()
    file.deliver(fog1, 1, quarter(0), quarter(0, { importWh: 126 }), quarter(1))
    file.deliver(fog2, 1, quarter(0))
    file.database.close()
    const { deliver, drain, queries, database } = open()
    const refused = { type: 'refused', first: 4, last: 4, code: 'summary/conflict' }
    const next = { revision: 1, importWh: 127 }
    expect(deliver(fog1, 4, quarter(0, next))[0]).toEqual(refused)
    deliver(fog1, 5, quarter(1, next))
    deliver(fog2, 2, quarter(0, next))
    const sums = (fog: string) =>
      queries.listSummaries({ fog }).items.map(({ importWh }) => importWh)
    expect([sums('fog-1'), sums('fog-2')]).toEqual([[127, 125], [127]])
    drain.deliver(fog1, 'c1', hello(5, 5))
    deliver(fog1, 6, quarter(0, next))
    expect(sums('fog-1')).toEqual([127, 127])
    database.close()
  })

  test('a file written before keeps its sums', () => {
    const path = join(folder, 'old.db')
    const old = openDatabase(path, { migrations: migrations.slice(0, 1) })
    old.exec(`INSERT INTO fog (name, first_seen_s, last_seen_s, durable, next, summaries, readings,
      power_sum_w, voltage_sum_dv, voltage_count, import_wh, export_wh)
      VALUES ('fog-1', 1, 2, 3, 4, 5, 6, -7, 8, 9, 10, 11)`)
    old.close()
    const { store, database } = openCloudStore(path)
    expect(store.transact((tx) => tx.fog('fog-1'))).toEqual({
      durable: 3,
      next: 4,
      store: null,
      offset: 0,
      newest: new Uint8Array(),
      totals: {
        summaries: 5,
        readings: 6n,
        powerSumW: -7n,
        voltageSumDv: 8n,
        voltageCount: 9n,
        importWh: 10n,
        exportWh: 11n,
      },
    })
    database.close()
  })
})

test('property: duplicates, gaps, conflicts and restarts: SQLite agrees with memory, totals exact', () => {
  let round = 0
  fc.assert(
    fc.property(fc.array(step, { maxLength: 20 }), (steps) => {
      const path = join(folder, `${(round += 1)}.db`)
      const memory = createMemoryStore()
      let file = openCloudStore(path)
      const next = [1, 1]
      for (const { fog, window, revision, readings, trouble } of steps) {
        if (trouble === 'restart') {
          file.database.close()
          file = openCloudStore(path)
        }
        const sender = fog === 0 ? fog1 : fog2
        const number = next[fog] ?? 1
        const first =
          trouble === 'again' ? Math.max(1, number - 1) : number + (trouble === 'gap' ? 2 : 0)
        const item = quarter(window, {
          revision,
          readings,
          powerSumW: readings * 200,
          ...noVoltage,
        })
        const answers = [file.store, memory].map((store) => {
          const drain = testCloud(store)
          drain.connect(sender, 'c')
          return sent(drain.deliver(sender, 'c', items(first, [item])))
        })
        expect(answers[0]).toEqual(answers[1])
        if (first === number) next[fog] = number + 1
      }
      expectSame(file.queries, memory.contents)
      file.database.close()
    }),
    { numRuns: 25 },
  )
})

const noVoltage = { voltageCount: 0, voltageSumDv: 0, voltageMinDv: null, voltageMaxDv: null }

/** Latest revisions and sums, worked out here once more from everything that was stored. */
function expectSame(
  queries: ReturnType<typeof openCloudStore>['queries'],
  contents: ReturnType<typeof createMemoryStore>['contents'],
): void {
  const best = new Map<string, Summary>()
  for (const { fog, summary: s } of contents.summaries) {
    const key = `${fog} ${s.startS}`
    if ((best.get(key)?.revision ?? -1) < s.revision) best.set(key, s)
  }
  const listed = queries.listSummaries({ limit: 1_000 }).items
  expect(listed).toHaveLength(best.size)
  for (const view of listed) {
    const expected = best.get(`${view.fog} ${view.startS}`)
    expect(view).toMatchObject({ revision: expected?.revision, readings: expected?.readings })
  }
  const accounting = queries.accounting()
  expect(accounting.refused).toHaveLength(contents.refused.length)
  for (const [fog, record] of contents.fogs) {
    const mine = [...best].filter(([key]) => key.startsWith(`${fog} `)).map(([, s]) => s)
    const readings = mine.reduce((sum, s) => sum + s.readings, 0)
    expect(record.totals).toMatchObject({ summaries: mine.length, readings: BigInt(readings) })
    const row = accounting.fogs.find((entry) => entry.fog === fog)
    expect(row).toMatchObject({ summaries: mine.length, readings, durable: record.durable })
    const [view] = queries.listFogs({ nowS, fog }).items
    expect(view).toMatchObject({ summaries: mine.length, readings })
  }
}
