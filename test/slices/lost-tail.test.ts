/**
 * SQLite takes nothing in its log for written that lies behind a flipped bit, and says nothing. A fog
 * node that starts with such a log while the cloud is away uses numbers again; it has to notice.
 */
import { closeSync, fstatSync, openSync, readSync, writeSync } from 'node:fs'
import BetterSqlite3 from 'better-sqlite3'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { stopCluster, stopTier } from '../../apps/demo/cluster.ts'
import { waitUntilDelivered, waitUntilDrained } from '../../apps/demo/drain.ts'
import { numbersIn, startClusterLab, type ClusterLab } from '../support/cluster-lab.ts'
import { groundTruth } from '../support/ground-truth.ts'
import { until } from '../support/security.ts'

let lab: ClusterLab
beforeAll(async () => {
  lab = await startClusterLab({
    fogs: 1,
    meters: 2,
    source: 'kind = "replay"\nhouse = {index}\ninterval_seconds = 60\ntime_scale = 600',
    block: 'readings = 8\nseconds = 60',
    window: 'idle_seconds = 2\nrevision_delay_ms = 200',
  })
})
afterAll(() => lab.close())

const fogInCloud = () => lab.ask((queries) => queries.accounting()).fogs[0]

function flipBit(path: string): void {
  const file = openSync(path, 'r+')
  const at = Math.floor(fstatSync(file).size * 0.6)
  const byte = Buffer.alloc(1)
  readSync(file, byte, 0, 1, at)
  byte[0]! ^= 1
  writeSync(file, byte, 0, 1, at)
  closeSync(file)
}

/** The number the next item gets. */
function nextNumber(store: string): number {
  const file = new BetterSqlite3(store, { readonly: true })
  try {
    const sql = "SELECT value FROM meta WHERE name = 'outbox next'"
    return file.prepare(sql).pluck().get() as number
  } finally {
    file.close()
  }
}

/** Readings of a meter in the fog node's log, and in ranges that the cloud lists as missing. */
function known(store: string, meter: string): Set<number> {
  const numbers = numbersIn(store).get(meter) ?? new Set()
  const { items } = lab.ask((queries) => queries.listGaps({ meter, limit: 1_000 }))
  for (const { kind, first, last } of items) {
    if (kind !== 'missing') continue
    for (let number = first; number <= last; number++) numbers.add(number)
  }
  return numbers
}

test('a flipped bit in its database log costs a fog node readings, but hides none', async () => {
  const { cluster } = lab
  const [{ store } = { store: '' }] = cluster.fogs
  await until('ten summaries', () => (fogInCloud()?.summaries ?? 0) >= 10)
  await lab.stop('fog-1-agent', 'SIGKILL')
  await lab.stop('cloud', 'SIGTERM')
  const before = fogInCloud()
  flipBit(`${store}-wal`)
  await lab.start('fog-1-agent')
  expect(nextNumber(store)).toBeLessThanOrEqual(before?.durable ?? 0)
  await until('numbers are used again', () => nextNumber(store) > (before?.durable ?? 0) + 5)
  await lab.start('cloud')
  await waitUntilDelivered(cluster)
  await stopTier(cluster, 'meter', 60_000)
  await waitUntilDrained(cluster)
  await stopCluster(cluster)
  const events = lab.ask((queries) => queries.listEvents({ limit: 1_000 })).items
  expect(events.filter(({ code }) => code === 'store-set-back')).toHaveLength(1)
  for (const { meter, number: newest } of lab.ask((queries) => queries.accounting()).meters) {
    const numbers = known(store, meter)
    const hidden = Array.from({ length: newest }, (_, index) => index + 1)
    expect(hidden.filter((number) => !numbers.has(number))).toEqual([])
  }
  expect(fogInCloud()?.readings).toBeGreaterThan(before?.readings ?? 0)
  expect(await groundTruth(cluster)).toEqual([])
  expect(lab.accidents).toEqual([])
}, 120_000)
