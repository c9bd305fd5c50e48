import type BetterSqlite3 from 'better-sqlite3'
import { CodedError } from '#errors'

/** Whose a store is. A file of another program or device must not be opened, let alone migrated. */
export interface StoreOwner {
  /** The program it belongs to: `agent`, `cloud` or `meter`. */
  kind: string
  /** A table that only this program's stores have: by it those are known that do not yet say so. */
  table: string
  /** The one device it belongs to; left out where it does not matter or a store serves several. */
  device?: string | undefined
}

interface OwnerRow {
  kind: string
  device: string | null
}

/**
 * Throws `sqlite/wrong-store` when the database is another program's or another device's, and
 * changes nothing. An empty one belongs to nobody.
 */
export function checkOwner(path: string, handle: BetterSqlite3.Database, owner: StoreOwner): void {
  const { kind, device } = owner
  const row = readOwner(handle)
  if (row === null) {
    if (isEmpty(handle) || hasTable(handle, owner.table)) return
    throw wrongStore(`${path} is a database, but not a store of program ${kind}`)
  }
  if (row.kind !== kind)
    throw wrongStore(`${path} is the store of program ${row.kind}, not of ${kind}`)
  if (device === undefined || row.device === null || row.device === device) return
  throw wrongStore(`${path} is the store of ${kind} ${row.device}, not of ${device}`)
}

/** Writes down whose it is from now on, where that is not there yet. */
export function writeOwner(handle: BetterSqlite3.Database, { kind, device }: StoreOwner): void {
  const row = readOwner(handle)
  if (row !== null && (row.device !== null || device === undefined)) return
  handle
    .transaction(() => {
      handle.exec('CREATE TABLE IF NOT EXISTS store_owner (kind TEXT NOT NULL, device TEXT) STRICT')
      handle.exec('DELETE FROM store_owner')
      const insert = handle.prepare('INSERT INTO store_owner (kind, device) VALUES (?, ?)')
      insert.run(kind, device ?? null)
    })
    .immediate()
}

function readOwner(handle: BetterSqlite3.Database): OwnerRow | null {
  if (!hasTable(handle, 'store_owner')) return null
  return handle.prepare<unknown[], OwnerRow>('SELECT kind, device FROM store_owner').get() ?? null
}

function hasTable(handle: BetterSqlite3.Database, name: string): boolean {
  const sql = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?"
  return handle.prepare(sql).get(name) !== undefined
}

function isEmpty(handle: BetterSqlite3.Database): boolean {
  return handle.prepare('SELECT 1 FROM sqlite_schema').get() === undefined
}

function wrongStore(what: string): CodedError {
  const message = `${what}: correct store.path; every device has a store of its own`
  return new CodedError('sqlite/wrong-store', message)
}
