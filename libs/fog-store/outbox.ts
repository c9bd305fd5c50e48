import type { Outbox } from '#delivery'
import type { Database } from '#sqlite'

/** The outbox over its table, and what the other transactions of the store need from it. */
export interface SqliteOutbox extends Outbox {
  /** Appends in the caller's transaction. */
  append(items: readonly Uint8Array[], atS: number): void
  /** Takes back in memory what `append` did, when the caller's transaction failed. */
  reload(): void
  /** Deletes what has been acknowledged, in the caller's transaction. */
  clean(): void
  backlog(): { items: number; oldestS: number | null }
}

const nextName = 'outbox next'

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

  let next = 1
  let acknowledged = 0
  let deleted = 0

  function reload(): void {
    next = loadNext.get(nextName)?.value ?? 1
    deleted = 0 // at worst an empty DELETE
  }
  reload()

  return {
    oldest: () => firstAfter.get(acknowledged)?.number ?? next,
    next: () => next,
    read: (fromNumber, maxItems) =>
      from
        .all(Math.max(fromNumber, acknowledged + 1), maxItems)
        .map(({ number, body }) => ({ first: number, last: number, body })),
    dropThrough(number) {
      acknowledged = Math.max(acknowledged, Math.min(number, next - 1))
    },
    refuse(first, last, code) {
      db.transaction(() => {
        moveRefused.run(code, first, last)
        removeRange.run(first, last)
      })
    },
    raiseNext(number) {
      if (number <= next) return
      db.transaction(() => saveNext.run(nextName, number))
      next = number
    },
    append(items, atS) {
      if (items.length === 0) return
      for (const body of items) insert.run(next++, atS, body)
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
