import { defaults } from '#defaults'
import type { OutboxItem } from '#delivery'
import type { MeterStore } from '#meter'
import type { Random } from '#ports'
import { openDatabase, readMark, writeMark, type BackupMark, type Database } from '#sqlite'
import { migrations } from './schema.ts'
import { prepareStatements, type Held, type Statements } from './statements.ts'

/** A block the fog will never accept, kept for whoever wants to find out why. */
export interface RefusedBlock {
  first: number
  last: number
  code: string
}

export interface MeterStoreFile {
  /** The memory of one meter, created empty when the file does not know it. */
  meter(deviceId: string): MeterStore
  /** Several meters' changes in one commit: when it returns, all of them are on disk. */
  transaction<T>(work: () => T): T
  /** Newest first. */
  refused(deviceId: string, limit: number): RefusedBlock[]
  /** Small things the program must find again after a restart; null when never written. */
  note(name: string): Uint8Array | null
  setNote(name: string, value: Uint8Array): void
  /** Set when this file was restored from a backup and nothing has been done about that yet. */
  readonly restored: BackupMark | null
  /**
   * Settles that, before any meter is opened: the numbers that former lives used after the backup
   * are left out, and so are the unsigned readings, which the first has signed since. Returns how
   * many. How far it goes on above is drawn from `random`: the same backup may be restored again.
   */
  settleRestored(random: Random): number
  /** Writes what may lag behind and closes the file. */
  close(): void
}

/** Of which meters is in its rows: a file may serve several. */
const owner = { kind: 'meter', table: 'note' } as const

/** Dead rows of `reading` are removed once this many have been written. */
const CLEAN_EVERY = 1_024
/** More readings than any meter takes between a backup and its restoring: at one a second, 12 days. */
const RESTORE_MARGIN = 2 ** 20
/**
 * So many numbers above that, drawn anew each time: of two lives from one backup, each with a reading
 * a second for a day, one in 6,000 pairs would meet. Three such restores together still lie within
 * what a welcome may raise an older copy by (2^32, see #delivery).
 */
const RESTORE_SPREAD = 2 ** 30

/** State that the meters of one file share. */
interface Shared {
  database: Database
  sql: Statements
  /** Acknowledged through, by meter row, not yet deleted from `block`. */
  lagging: Map<number, number>
  /** Row of the oldest reading of each open block, by meter row. */
  oldestRow: Map<number, number>
  written: number
}

/**
 * Opens (or creates) the file. SIGKILL and power loss cost nothing that was committed
 * (WAL, synchronous=FULL). Throws `sqlite/…`.
 */
export function openMeterStore(path: string): MeterStoreFile {
  const database = openDatabase(path, { migrations, owner })
  const sql = prepareStatements(database)
  const shared: Shared = { database, sql, lagging: new Map(), oldestRow: new Map(), written: 0 }
  // Also of meters this process does not run: their open readings must outlive its cleaning.
  for (const row of sql.oldestOpenRows.all()) shared.oldestRow.set(row.meter, row.id)
  const meters = new Map<string, MeterStore>()
  return {
    meter(deviceId) {
      const store = meters.get(deviceId) ?? openMeter(shared, deviceId)
      meters.set(deviceId, store)
      return store
    },
    transaction: (work) => database.transaction(work),
    restored: readMark(database),
    settleRestored: (random) => settleRestored(shared, random),
    refused: (deviceId, limit) => sql.refusedOf.all(deviceId, limit),
    note(name) {
      const row = sql.noteOf.get(name)
      return row === undefined ? null : new Uint8Array(row.value)
    },
    setNote: (name, value) => void sql.setNote.run(name, value),
    close() {
      database.transaction(() => deleteReceipted(shared))
      database.close()
    },
  }
}

function settleRestored({ database, sql, oldestRow }: Shared, random: Random): number {
  const drawn = new DataView(random(4).buffer).getUint32(0) % RESTORE_SPREAD
  return database.transaction(() => {
    const { count } = sql.countOpen.get()!
    sql.leaveOut.run(RESTORE_MARGIN + drawn)
    sql.deleteReadings.run(Number.MAX_SAFE_INTEGER)
    oldestRow.clear()
    writeMark(database, null)
    return count
  })
}

/** Receipted blocks are deleted with the next commit that is needed anyway. */
function deleteReceipted({ sql, lagging }: Shared): void {
  for (const [meter, through] of lagging) sql.deleteThrough.run(meter, through)
  lagging.clear()
}

function deleteDeadReadings(shared: Shared): void {
  if (shared.written < CLEAN_EVERY) return
  shared.written = 0
  const oldest = Math.min(...shared.oldestRow.values())
  shared.sql.deleteReadings.run(Number.isFinite(oldest) ? oldest : Number.MAX_SAFE_INTEGER)
}

function openMeter(shared: Shared, deviceId: string): MeterStore {
  const { database, sql, lagging, oldestRow } = shared
  sql.addMeter.run(deviceId)
  const { id } = sql.meterId.get(deviceId)!
  /** Null until asked. */
  let held: Held | null = null
  /** No block up to this one has readings: those give way from the oldest on. */
  let thinThrough = 0

  const heldNow = () => (held ??= { ...sql.held.get(id, lagging.get(id) ?? 0)! })

  function load(): ReturnType<MeterStore['load']> {
    held = null
    thinThrough = 0
    const row = sql.loadMeter.get(id)!
    const open = sql.openReadings.all(id, row.accounted)
    if (open[0] === undefined) oldestRow.delete(id)
    else oldestRow.set(id, open[0].id)
    return {
      head: row.head && new Uint8Array(row.head),
      open: open.map((reading) => new Uint8Array(reading.record)),
      next: row.next,
    }
  }

  function append(number: number, record: Uint8Array): void {
    const { lastInsertRowid } = sql.addReading.run(id, number, record)
    if (!oldestRow.has(id)) oldestRow.set(id, Number(lastInsertRowid))
    shared.written += 1
  }

  function seal(block: OutboxItem, head: Uint8Array): void {
    database.transaction(() => {
      sql.addBlock.run(id, block.first, block.last, block.body)
      sql.setHead.run(head, block.last, block.last + 1, id)
      oldestRow.delete(id)
      deleteReceipted(shared)
      deleteDeadReadings(shared)
    })
    if (held !== null) held = { ...held, count: held.count + 1, oldest: held.oldest ?? block.first }
  }

  function dropThrough(number: number): void {
    const before = lagging.get(id) ?? 0
    if (number <= before) return
    const { count, thin } = heldNow()
    const dropped = sql.countBetween.get(id, before, number)!
    lagging.set(id, number)
    const oldest = sql.oldestAfter.get(id, number)?.first ?? null
    held = { count: count - dropped.count, thin: thin - dropped.thin, oldest }
  }

  function oldestWhole(): OutboxItem | null {
    return sql.oldestWhole.get(id, Math.max(thinThrough, lagging.get(id) ?? 0)) ?? null
  }

  function thinOne({ last, body }: OutboxItem): void {
    heldNow()
    sql.thin.run(body, id, last)
    if (held !== null) held = { ...held, thin: held.thin + 1 }
    thinThrough = last
  }

  function restart(head: Uint8Array, next: number): void {
    database.transaction(() => sql.setHead.run(head, next - 1, next, id))
    oldestRow.delete(id)
  }

  function refuse(first: number, last: number, code: string): void {
    database.transaction(() => {
      sql.moveRefused.run(code, id, last, first)
      sql.deleteOne.run(id, last, first)
      sql.trimRefused.run(defaults.refusedKept)
    })
    held = null
  }

  return {
    load,
    append,
    seal,
    restart,
    transaction: (work) => database.transaction(work),
    oldest: () => heldNow().oldest,
    count: () => heldNow().count,
    whole: () => heldNow().count - heldNow().thin,
    oldestWhole,
    thin: thinOne,
    read: (from, max) => sql.read.all(id, Math.max(from, (lagging.get(id) ?? 0) + 1), max),
    dropThrough,
    refuse,
  }
}
