import { addChecksum, dropChecksum, unflip } from '#bytes'
import { defaults } from '#defaults'
import type { Outbox, OutboxItem } from '#delivery'
import type { Backlog, DamagedItem } from '#fog'
import { decodeItem, detailTypes } from '#messages'
import type { Database } from '#sqlite'
import { itemOf } from './blob.ts'

/** The outbox over its table, and what the other transactions of the store need from it. */
export interface SqliteOutbox extends Outbox {
  /** Appends in the caller's transaction; what there is no room for goes, see `trim`. */
  append(items: readonly Uint8Array[], atS: number): void
  /** The caller's transaction has committed. */
  committed(): void
  /** Takes back in memory what `append` did, when the caller's transaction failed. */
  reload(): void
  /** In the caller's transaction: see `Checkpoint.lostFromS`. */
  setLostFrom(startS: number | null): void
  /** Deletes what has been acknowledged, in the caller's transaction. */
  clean(): void
  backlog(): Backlog
  /** What the last `read` stopped at. */
  damaged(): DamagedItem | null
  /** Refused items that are no longer kept since the start, because there were newer ones. */
  refusedForgotten(): number
  /** Takes it out in the caller's transaction; it stays among the refused, to be looked at. */
  removeDamaged(number: number): void
  /**
   * In the caller's transaction: the store is an older copy, so numbers from here on may have been
   * used before, for other things. The cloud's next welcome says how far they were.
   */
  doubt(): void
}

const nextName = 'outbox next'
/** Why it is among the refused, which are otherwise what the cloud did not want. */
export const damagedCode = 'fog/item-damaged'
/** 1 from the restoring of a backup to the first welcome. */
const doubtName = 'outbox in doubt'
const lostName = 'outbox lost from'

/**
 * An item is an array of fewer than 24 elements, so its second byte is its type; it comes behind the
 * five bytes of the checksum, which rows from before there were checksums do not have.
 */
const typeSql = "substr(body, CASE substr(body, 1, 1) WHEN x'c5' THEN 7 ELSE 2 END, 1)"
const names = new Map(Object.entries(detailTypes).map(([name, type]) => [type as number, name]))
const detailSql = [...names.keys()].map((type) => `x'${type.toString(16).padStart(2, '0')}'`)

interface Detail {
  number: number
  type: Uint8Array
  body: Uint8Array
}

function prepare(db: Database) {
  return {
    insert: db.prepare('INSERT INTO outbox (number, at, body) VALUES (?, ?, ?)'),
    shift: db.prepare('UPDATE outbox SET number = -(number + ?) WHERE number > 0'),
    turn: db.prepare('UPDATE outbox SET number = -number WHERE number < 0'),
    saveNext: db.prepare(
      'INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value',
    ),
    removeMeta: db.prepare('DELETE FROM meta WHERE name = ?'),
    loadNext: db.prepare<{ value: number }>('SELECT value FROM meta WHERE name = ?'),
    from: db.prepare<{ number: number; body: Uint8Array }>(
      'SELECT number, body FROM outbox WHERE number >= ? ORDER BY number LIMIT ?',
    ),
    firstAfter: db.prepare<{ number: number; at: number }>(
      'SELECT number, at FROM outbox WHERE number > ? ORDER BY number LIMIT 1',
    ),
    count: db.prepare<{ n: number }>(
      'SELECT count(*) AS n FROM outbox WHERE number > ? AND number <= ?',
    ),
    oldestDetail: db.prepare<Detail>(
      `SELECT number, ${typeSql} AS type, body FROM outbox ` +
        `WHERE number > ? AND ${typeSql} IN (${detailSql.join(', ')}) ORDER BY number LIMIT ?`,
    ),
    removeThrough: db.prepare('DELETE FROM outbox WHERE number <= ?'),
    removeRange: db.prepare('DELETE FROM outbox WHERE number BETWEEN ? AND ?'),
    moveRefused: db.prepare(
      'INSERT OR REPLACE INTO refused (number, at, code, body) ' +
        'SELECT number, at, ?, body FROM outbox WHERE number BETWEEN ? AND ?',
    ),
    trimRefused: db.prepare(
      'DELETE FROM refused WHERE number <= ' +
        '(SELECT number FROM refused ORDER BY number DESC LIMIT 1 OFFSET ?)',
    ),
  }
}

/** Start of the window a row is about; 0 where that cannot be read, as if it were the first. */
export function windowOf(body: Uint8Array): number {
  try {
    const item = decodeItem(dropChecksum(body))
    return item.type === 'summary' ? item.summary.startS : 0
  } catch {
    return 0
  }
}

/**
 * Acknowledged items are forgotten at once in memory and deleted with the next transaction there is:
 * after a crash in between they are offered again, and the cloud knows them by their number.
 */
export function openOutbox(db: Database, maxItems: number): SqliteOutbox {
  const sql = prepare(db)
  let next = 1
  let acknowledged = 0
  let deleted = 0
  let inDoubt = false
  /** See `Backlog`; Infinity for none. */
  let lostFromS = Infinity
  /** Items above `acknowledged`. */
  let held = 0
  /** No summary, event or status is held up to this number: they go from the oldest on. */
  let bareThrough = 0
  const givenUp: Record<string, number> = {}
  /** Given up in a transaction that is not over. */
  let going: string[] = []
  let damaged: DamagedItem | null = null
  let refusedForgotten = 0
  /** The same, in a transaction that is not over. */
  let forgetting = 0

  function reload(): void {
    next = sql.loadNext.get(nextName)?.value ?? 1
    inDoubt = sql.loadNext.get(doubtName)?.value === 1
    lostFromS = sql.loadNext.get(lostName)?.value ?? Infinity
    deleted = 0 // at worst an empty DELETE
    held = sql.count.get(acknowledged, next)?.n ?? 0
    bareThrough = 0
    going = []
    forgetting = 0
    damaged = null
  }
  reload()

  /** Up to the first damaged one. */
  function read(fromNumber: number, maxRead: number): OutboxItem[] {
    damaged = null
    const items: OutboxItem[] = []
    for (const { number, body } of sql.from.all(Math.max(fromNumber, acknowledged + 1), maxRead)) {
      const item = itemOf(body)
      if (item === null) {
        damaged = { number, body: unflip(body) }
        break
      }
      items.push({ first: number, last: number, body: item })
    }
    return items
  }

  /** Gives what is held numbers from `start` on; by way of negative ones, which are all free. */
  function renumber(start: number): void {
    const first = sql.firstAfter.get(acknowledged)?.number ?? next
    db.transaction(() => {
      sql.removeThrough.run(acknowledged)
      if (first < next) {
        sql.shift.run(start - first)
        sql.turn.run()
      }
      sql.saveNext.run(nextName, start + (next - first))
      sql.saveNext.run(doubtName, 0)
    })
    next = start + (next - first)
    acknowledged = deleted = start - 1
    inDoubt = false
    bareThrough = 0
    damaged = null
  }

  /** Out of the outbox, but not out of sight: unless there are too many, when the oldest go. */
  function moveToRefused(first: number, last: number, code: string): void {
    const gone = db.transaction(() => {
      sql.moveRefused.run(code, first, last)
      sql.removeRange.run(first, last)
      return sql.trimRefused.run(defaults.refusedKept).changes
    })
    forgetting += gone
    held = sql.count.get(acknowledged, next)?.n ?? 0
  }

  function committed(): void {
    for (const name of going) givenUp[name] = (givenUp[name] ?? 0) + 1
    going = []
    refusedForgotten += forgetting
    forgetting = 0
  }

  /** The oldest summaries, events and statuses, at most so many. */
  function oldestDetails(most: number): Detail[] {
    const found = sql.oldestDetail.all(Math.max(bareThrough, acknowledged), most)
    // Not to be looked through again: an outbox full of registers stays so for long.
    if (found.length === 0) bareThrough = next - 1
    return found
  }

  /** Makes room: the oldest details go. Registers and credentials stay, even above the limit. */
  function trim(): void {
    if (held <= maxItems) return
    for (const { number, type, body } of oldestDetails(held - maxItems)) {
      sql.removeRange.run(number, number)
      bareThrough = number
      held -= 1
      if (damaged?.number === number) damaged = null
      const name = names.get(type[0] ?? 0) ?? 'other'
      going.push(name)
      if (name === 'summary') setLostFrom(Math.min(lostFromS, windowOf(body)))
    }
  }

  function setLostFrom(startS: number): void {
    if (startS === lostFromS) return
    lostFromS = startS
    if (startS === Infinity) sql.removeMeta.run(lostName)
    else sql.saveNext.run(lostName, startS)
  }

  return {
    oldest: () => sql.firstAfter.get(acknowledged)?.number ?? next,
    next: () => next,
    read,
    dropThrough(number) {
      if (inDoubt) return renumber(number + 1)
      const through = Math.min(number, next - 1)
      if (through <= acknowledged) return
      held -= sql.count.get(acknowledged, through)?.n ?? 0
      acknowledged = through
      if (damaged !== null && damaged.number <= through) damaged = null
    },
    refuse(first, last, code) {
      moveToRefused(first, last, code)
      committed()
    },
    refusedForgotten: () => refusedForgotten,
    damaged: () => damaged,
    removeDamaged(number) {
      moveToRefused(number, number, damagedCode)
      damaged = null
    },
    raiseNext(number) {
      if (number > (sql.firstAfter.get(acknowledged)?.number ?? next)) renumber(number)
    },
    doubt() {
      sql.saveNext.run(doubtName, 1)
      inDoubt = true
    },
    append(items, atS) {
      if (items.length === 0) return
      for (const body of items) sql.insert.run(next++, atS, addChecksum(body))
      sql.saveNext.run(nextName, next)
      held += items.length
      trim()
    },
    committed,
    reload,
    setLostFrom: (startS) => setLostFrom(startS ?? Infinity),
    clean() {
      if (acknowledged === deleted) return
      sql.removeThrough.run(acknowledged)
      deleted = acknowledged
    },
    backlog: () => ({
      items: held,
      oldestS: sql.firstAfter.get(acknowledged)?.at ?? null,
      full: held >= maxItems && oldestDetails(1).length === 0,
      room: Math.max(0, maxItems - held),
      lostFromS: lostFromS === Infinity ? null : lostFromS,
      givenUp,
    }),
  }
}
