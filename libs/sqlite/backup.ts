import { existsSync, linkSync, renameSync, rmSync, statSync } from 'node:fs'
import BetterSqlite3 from 'better-sqlite3'
import { CodedError } from '#errors'
import { wrapDatabase } from './database.ts'
import { addDigest } from './digest.ts'
import { createPrivateFile, removeDatabase, syncFolderOf, syncPath } from './files.ts'
import { writeMark, type BackupMark } from './mark.ts'
import { openError, refuseHalfRestored } from './open.ts'

export interface BackupOptions {
  kind: string
  owner: string
  /** Wall clock, ms. */
  now: () => number
  /** Takes the place of a file that is there already. */
  force?: boolean
  /** Pages copied so far, of all. */
  onProgress?: (done: number, total: number) => void
}

export interface BackupReport extends BackupMark {
  path: string
  bytes: number
}

/** Pages per step: a few milliseconds, so that progress can be shown. */
const pagesPerStep = 512

/**
 * Copies the database at `path` into one file, `out`, while another process may be writing it. The
 * copy is one moment of the store: everything committed before this call, nothing half. It is
 * checked from end to end and carries its mark; `out` appears, mode 0600, when it is on disk.
 *
 * @throws backup/exists when `out` is there already, sqlite/cannot-open, sqlite/corrupt, sqlite/full
 */
export async function backupDatabase(
  path: string,
  out: string,
  options: BackupOptions,
): Promise<BackupReport> {
  const { force = false, kind, owner } = options
  if (!force && existsSync(out)) throw exists(out)
  const temporary = `${out}.${process.pid}.partial`
  try {
    createPrivateFile(temporary)
    const source = openSnapshot(path)
    const takenS = Math.max(0, Math.floor(options.now() / 1000))
    await copy(source, temporary, options.onProgress)
    const mark = { kind, owner, takenS }
    seal(temporary, mark)
    place(temporary, out, force)
    return { ...mark, path: out, bytes: statSync(out).size }
  } catch (error) {
    throw openError(out, error)
  } finally {
    removeDatabase(temporary)
  }
}

/**
 * An open read transaction holds one moment of the store for all steps: without it SQLite begins
 * anew after every commit of the program, and under load never ends. The WAL grows meanwhile.
 */
function openSnapshot(path: string): BetterSqlite3.Database {
  let source: BetterSqlite3.Database | undefined
  try {
    refuseHalfRestored(path)
    source = new BetterSqlite3(path, { readonly: true, fileMustExist: true })
    source.exec('BEGIN')
    source.prepare('SELECT count(*) FROM sqlite_schema').get()
    return source
  } catch (error) {
    source?.close()
    throw openError(path, error)
  }
}

async function copy(
  source: BetterSqlite3.Database,
  to: string,
  onProgress: BackupOptions['onProgress'],
): Promise<void> {
  try {
    await source.backup(to, {
      progress({ totalPages, remainingPages }) {
        onProgress?.(totalPages - remainingPages, totalPages)
        return pagesPerStep
      },
    })
  } finally {
    source.close()
  }
}

/** One file without companions, marked and found whole, on disk. */
function seal(path: string, mark: BackupMark): void {
  const handle = new BetterSqlite3(path)
  try {
    handle.pragma('journal_mode = DELETE')
    handle.pragma('synchronous = FULL')
    const db = wrapDatabase(path, handle)
    writeMark(db, mark)
    db.checkIntegrity()
  } finally {
    handle.close()
  }
  addDigest(path)
  syncPath(path)
}

/** A link fails where the name is taken, a rename would not: nothing is overwritten by a race. */
function place(temporary: string, out: string, force: boolean): void {
  if (force) renameSync(temporary, out)
  else {
    try {
      linkSync(temporary, out)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EEXIST') throw exists(out)
      throw error
    }
    rmSync(temporary)
  }
  syncFolderOf(out)
}

function exists(path: string): CodedError {
  const message = `${path} exists already: choose another name, or add --force to replace it`
  return new CodedError('backup/exists', message)
}
