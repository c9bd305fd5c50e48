import type { Database } from './database.ts'

/** What a backup says about itself, in a table of its own beside the store's. */
export interface BackupMark {
  /** The program whose store it is: `agent`, `cloud` or `meter`. */
  kind: string
  /** Device id of whose store it is. */
  owner: string
  /** Wall clock when it was taken, s: everything committed before is in it. */
  takenS: number
}

interface MarkRow {
  kind: string
  owner: string
  takenS: number
}

const createSql =
  'CREATE TABLE backup_mark (kind TEXT NOT NULL, owner TEXT NOT NULL, taken_s INTEGER NOT NULL) STRICT'

/**
 * The mark of a backup; in a store, that it was restored from one and nothing has been done about
 * that yet. Null in every other database.
 */
export function readMark(db: Database): BackupMark | null {
  const table = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'backup_mark'"
  if (db.prepare(table).get() === undefined) return null
  const sql = 'SELECT kind, owner, taken_s AS takenS FROM backup_mark'
  return db.prepare<MarkRow>(sql).get() ?? null
}

/** Replaces the mark; null removes it. In the caller's transaction where there is one. */
export function writeMark(db: Database, mark: BackupMark | null): void {
  db.transaction(() => {
    db.exec('DROP TABLE IF EXISTS backup_mark')
    if (mark === null) return
    db.exec(createSql)
    const insert = db.prepare('INSERT INTO backup_mark (kind, owner, taken_s) VALUES (?, ?, ?)')
    insert.run(mark.kind, mark.owner, mark.takenS)
  })
}
