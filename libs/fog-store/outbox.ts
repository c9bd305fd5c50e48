import { addChecksum } from '#bytes'
import type { Outbox } from '#delivery'
import type { Database } from '#sqlite'
import { contentOf } from './blob.ts'

/** The outbox over its table, and what the other transactions of the store need from it. */
export interface SqliteOutbox extends Outbox {
  /** Appends in the caller's transaction. */
  append(items: readonly Uint8Array[], atS: number): void
  /** Takes back in memory what `append` did, when the caller's transaction failed. */
  reload(): void
  /** Deletes what has been acknowledged, in the caller's transaction. */
  clean(): void
  backlog(): { items: number; oldestS: number | null }
  /**
   * In the caller's transaction: the store is an older copy, so numbers from here on may have been
   * used before, for other things. The cloud's next welcome says how far they were.
   */
  doubt(): void
}

const nextName = 'outbox next'
/** 1 from the restoring of a backup to the first welcome. */
const doubtName = 'outbox in doubt'

/**
 * Acknowledged items are forgotten at once in memory and deleted with the next transaction there is:
 * after a crash in between they are offered again, and the cloud knows them by their number.
 */
export function openOutbox(db: Database): SqliteOutbox {
  const insert = db.prepare('INSERT INTO outbox (number, at, body) VALUES (?, ?, ?)')
  const saveNext = db.prepare(
    'INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value',
  )
  const from = db.prepare<{ number: number; body: Uint8Array }>(
    'SELECT number, body FROM outbox WHERE number >= ? ORDER BY number LIMIT ?',
  )
  const firstAfter = db.prepare<{ number: number; at: number }>(
    'SELECT number, at FROM outbox WHERE number > ? ORDER BY number LIMIT 1',
  )
  const count = db.prepare<{ n: number }>('SELECT count(*) AS n FROM outbox WHERE number > ?')
  const remove = db.prepare('DELETE FROM outbox WHERE number <= ?')
  const loadNext = db.prepare<{ value: number }>('SELECT value FROM meta WHERE name = ?')
  const moveRefused = db.prepare(
    'INSERT OR REPLACE INTO refused (number, at, code, body) ' +
      'SELECT number, at, ?, body FROM outbox WHERE number BETWEEN ? AND ?',
  )
  const removeRange = db.prepare('DELETE FROM outbox WHERE number BETWEEN ? AND ?')

  const shift = db.prepare('UPDATE outbox SET number = -(number + ?) WHERE number > 0')
  const turn = db.prepare('UPDATE outbox SET number = -number WHERE number < 0')

  let next = 1
  let acknowledged = 0
  let deleted = 0
  let inDoubt = false

  function reload(): void {
    next = loadNext.get(nextName)?.value ?? 1
    inDoubt = loadNext.get(doubtName)?.value === 1
    deleted = 0 // at worst an empty DELETE
  }
  reload()

  /** Gives what is held numbers from `start` on; by way of negative ones, which are all free. */
  function renumber(start: number): void {
    const first = firstAfter.get(acknowledged)?.number ?? next
    db.transaction(() => {
      remove.run(acknowledged)
      if (first < next) {
        shift.run(start - first)
        turn.run()
      }
      saveNext.run(nextName, start + (next - first))
      saveNext.run(doubtName, 0)
    })
    next = start + (next - first)
    acknowledged = deleted = start - 1
    inDoubt = false
  }

  return {
    oldest: () => firstAfter.get(acknowledged)?.number ?? next,
    next: () => next,
    read: (fromNumber, maxItems) =>
      from.all(Math.max(fromNumber, acknowledged + 1), maxItems).map(({ number, body }) => {
        const content = contentOf(`outbox item ${number}`, body)
        return { first: number, last: number, body: content }
      }),
    dropThrough(number) {
      if (inDoubt) return renumber(number + 1)
      acknowledged = Math.max(acknowledged, Math.min(number, next - 1))
    },
    refuse(first, last, code) {
      db.transaction(() => {
        moveRefused.run(code, first, last)
        removeRange.run(first, last)
      })
    },
    raiseNext(number) {
      if (number > next) renumber(number)
    },
    doubt() {
      saveNext.run(doubtName, 1)
      inDoubt = true
    },
    append(items, atS) {
      if (items.length === 0) return
      for (const body of items) insert.run(next++, atS, addChecksum(body))
      saveNext.run(nextName, next)
    },
    reload,
    clean() {
      if (acknowledged === deleted) return
      remove.run(acknowledged)
      deleted = acknowledged
    },
    backlog: () => ({
      items: count.get(acknowledged)?.n ?? 0,
      oldestS: firstAfter.get(acknowledged)?.at ?? null,
    }),
  }
}
