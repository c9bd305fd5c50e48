import { chmodSync, closeSync, existsSync, openSync, statSync } from 'node:fs'
import BetterSqlite3 from 'better-sqlite3'
import { CodedError } from '#errors'
import { sqliteError, wrapDatabase } from './database.ts'
import type { Database } from './database.ts'
import { exchangeMark } from './files.ts'
import { checkOwner, writeOwner, type StoreOwner } from './owner.ts'

export interface OpenOptions {
  /** Schema steps in order. `user_version` counts the ones applied; never edit one that shipped. */
  migrations: readonly string[]
  /** Whose store this has to be; a new file becomes it. */
  owner?: StoreOwner
  /** A second process may look (the CLI); it never migrates and sees whatever schema is there. */
  readonly?: boolean
  /** Bytes; only takes effect on a new file. SQLite's default is 4096. */
  pageSize?: number
  /** WAL pages after which a commit also checkpoints. SQLite's default is 1000. */
  autocheckpointPages?: number
  /** How long to wait for another process's lock, default 5,000 ms. */
  busyTimeoutMs?: number
}

/** The WAL is cut back to this after a checkpoint, so one burst does not occupy the card for ever. */
const journalSizeLimitBytes = 64 * 2 ** 20

/** PRAGMA synchronous: 2 = FULL, 3 = EXTRA. */
const synchronousFull = 2

/**
 * Opens (and creates, mode 0600) a database in WAL mode with synchronous=FULL, and brings its schema
 * up to date in one transaction.
 *
 * Throws `sqlite/not-durable` when the file cannot give a durable commit (better-sqlite3 is compiled
 * with synchronous=NORMAL for WAL, so this is set and then read back), `sqlite/newer-schema` when a
 * later release wrote the file, `sqlite/wrong-store` when it is another program's or device's,
 * `sqlite/half-restored`, and the codes of `Database` for everything else.
 */
export function openDatabase(path: string, options: OpenOptions): Database {
  const readonly = options.readonly ?? false
  let handle: BetterSqlite3.Database | undefined
  try {
    if (isFolder(path)) throw new Error('is a folder, not a file')
    refuseHalfRestored(path)
    if (!readonly) createPrivate(path)
    handle = new BetterSqlite3(path, {
      readonly,
      fileMustExist: readonly,
      timeout: options.busyTimeoutMs ?? 5_000,
    })
    // First of all: what belongs to somebody else stays as it is.
    if (options.owner) checkOwner(path, handle, options.owner)
    if (!readonly) prepareForWriting(path, handle, options)
    handle.pragma('foreign_keys = ON')
    migrate(path, handle, options.migrations, readonly)
    if (options.owner && !readonly) writeOwner(handle, options.owner)
    return wrapDatabase(path, handle)
  } catch (error) {
    handle?.close()
    throw openError(path, error)
  }
}

function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false
}

/** Throws `sqlite/half-restored` where a restore was killed between the files of a damaged store. */
export function refuseHalfRestored(path: string): void {
  if (!existsSync(exchangeMark(path))) return
  const message = `${path}: restoring a backup was interrupted here: run "fogmeter restore" again`
  throw new CodedError('sqlite/half-restored', message)
}

/** SQLite gives -wal and -shm the mode of the main file, so creating that one first is enough. */
function createPrivate(path: string): void {
  if (path === ':memory:' || path === '') return
  if (existsSync(path)) chmodSync(path, 0o600)
  else closeSync(openSync(path, 'a', 0o600))
}

function prepareForWriting(
  path: string,
  handle: BetterSqlite3.Database,
  options: OpenOptions,
): void {
  if (options.pageSize !== undefined) handle.pragma(`page_size = ${options.pageSize}`)
  handle.pragma('journal_mode = WAL')
  handle.pragma('synchronous = FULL')
  handle.pragma(`journal_size_limit = ${journalSizeLimitBytes}`)
  if (options.autocheckpointPages !== undefined) {
    handle.pragma(`wal_autocheckpoint = ${options.autocheckpointPages}`)
  }
  assertDurable(path, handle)
}

/** Reads the settings back: a receipt that relied on a silent NORMAL would be a lie after a power cut. */
export function assertDurable(path: string, handle: BetterSqlite3.Database): void {
  const mode = handle.pragma('journal_mode', { simple: true })
  const level = Number(handle.pragma('synchronous', { simple: true }))
  if (mode === 'wal' && level >= synchronousFull) return
  throw new CodedError(
    'sqlite/not-durable',
    `${path}: journal_mode=${String(mode)} synchronous=${level}, but wal and FULL (2) are needed: ` +
      'put the store on a local file system',
  )
}

function migrate(
  path: string,
  handle: BetterSqlite3.Database,
  migrations: readonly string[],
  readonly: boolean,
): void {
  const version = Number(handle.pragma('user_version', { simple: true }))
  if (version > migrations.length) {
    throw new CodedError(
      'sqlite/newer-schema',
      `${path} has schema ${version}, this release knows up to ${migrations.length}: ` +
        'run the newer release, or restore the backup made before the update',
    )
  }
  if (readonly || version === migrations.length) return
  handle
    .transaction(() => {
      for (const step of migrations.slice(version)) handle.exec(step)
      handle.pragma(`user_version = ${migrations.length}`)
    })
    .immediate()
}

/** better-sqlite3 reports a missing folder as a TypeError, fs as ENOENT: both become ours. */
export function openError(path: string, error: unknown): unknown {
  const known = sqliteError(path, error)
  if (known !== error || error instanceof CodedError) return known
  const reason = error instanceof Error ? error.message : String(error)
  return new CodedError(
    'sqlite/cannot-open',
    `${path}: ${reason}: check that the folder exists and is writable`,
    { cause: error },
  )
}
