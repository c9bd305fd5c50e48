import {
  closeSync,
  constants,
  copyFileSync,
  existsSync,
  linkSync,
  openSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs'
import BetterSqlite3 from 'better-sqlite3'
import { codeOf, CodedError } from '#errors'
import { sqliteError } from './database.ts'
import {
  companions,
  createPrivateFile,
  exchangeMark,
  giveToOwnerOfFolder,
  removeDatabase,
  syncFolderOf,
  syncPath,
} from './files.ts'

/**
 * Gives `replacement` the name of the store at `path` and returns under which name that store is
 * kept; null when there was none. Whatever kills this, `path` is then the whole old store or the
 * whole new one. A store too damaged for that is refused by its program in between.
 *
 * @throws sqlite/busy while somebody reads the store, sqlite/full, backup/exists
 */
export function replaceStore(path: string, replacement: string, stamp: string): string | null {
  const kept = `${path}.before-${stamp}`
  if (existsSync(kept)) throw exists(kept)
  if (!['', ...companions].some((end) => existsSync(path + end))) {
    move(replacement, path)
    return null
  }
  if (!existsSync(exchangeMark(path)) && keepWhole(path, kept)) move(replacement, path)
  else exchangeDamaged(path, kept, replacement)
  return kept
}

/**
 * Makes the store one file, so that a single renaming replaces it, and keeps a copy of that: a second
 * name of the same file would be written by a store that lives on. False when it is too damaged.
 */
function keepWhole(path: string, kept: string): boolean {
  const copy = `${path}.before.partial`
  try {
    foldWal(path)
    removeDatabase(copy)
    createPrivateFile(copy)
    copyFileSync(path, copy, constants.COPYFILE_FICLONE)
    giveToOwnerOfFolder(copy)
    syncPath(copy)
    move(copy, kept)
    return true
  } catch (error) {
    if (isDamage(error)) return false
    throw isErrno(error, 'ENOSPC') ? noRoom(path, error) : error
  } finally {
    removeDatabase(copy)
  }
}

/** Out of WAL mode: SQLite moves everything into the main file, and only then deletes the WAL. */
function foldWal(path: string): void {
  // SQLite would take an empty main file for a new store and delete the WAL beside it.
  if (!existsSync(path) || (statSync(path).size === 0 && existsSync(`${path}-wal`)))
    throw new CodedError('sqlite/corrupt', `${path} is empty, but there is a WAL`)
  probe(path)
  let handle: BetterSqlite3.Database | undefined
  try {
    handle = new BetterSqlite3(path, { fileMustExist: true })
    handle.pragma('synchronous = FULL')
    const mode = handle.pragma('journal_mode = DELETE', { simple: true })
    if (mode !== 'delete') throw busy(path)
  } catch (error) {
    throw sqliteError(path, error)
  } finally {
    handle?.close()
  }
  syncFolderOf(path)
}

/** Who may write a database that cannot be read deletes its WAL on closing it: a reader looks first. */
function probe(path: string): void {
  let reader: BetterSqlite3.Database | undefined
  try {
    reader = new BetterSqlite3(path, { readonly: true, fileMustExist: true })
    reader.prepare('SELECT count(*) FROM sqlite_schema').get()
  } catch (error) {
    const known = sqliteError(path, error)
    // Anything else, such as an unfinished change that a reader may not take back, is no damage.
    if (isDamage(known)) throw known
  } finally {
    reader?.close()
  }
}

/**
 * Main file and WAL cannot change place at once, and one without the other may look like a store. So
 * a mark stands beside them meanwhile, and no program opens what it finds there. Nothing is read: the
 * disk may be what is damaged.
 */
function exchangeDamaged(path: string, kept: string, replacement: string): void {
  const mark = exchangeMark(path)
  closeSync(openSync(mark, 'w', 0o600))
  syncFolderOf(path)
  for (const end of ['', '-wal', '-journal']) {
    if (existsSync(path + end)) linkSync(path + end, kept + end)
  }
  syncFolderOf(path)
  for (const end of companions) rmSync(path + end, { force: true })
  syncFolderOf(path)
  move(replacement, path)
  rmSync(mark)
  syncFolderOf(path)
}

function move(from: string, to: string): void {
  renameSync(from, to)
  syncFolderOf(to)
}

function isDamage(error: unknown): boolean {
  return ['sqlite/corrupt', 'sqlite/io'].includes(codeOf(error)) || isErrno(error, 'EIO')
}

function isErrno(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code
}

function exists(kept: string): CodedError {
  return new CodedError('backup/exists', `${kept} exists already: try again in a second`)
}

function busy(path: string): CodedError {
  const message = `${path} is being read by another process: end it, and restore again`
  return new CodedError('sqlite/busy', message)
}

function noRoom(path: string, cause: unknown): CodedError {
  const message =
    `${path}: the disk has no room to keep a copy of the store that is there: free as much as it ` +
    'is long; nothing was changed'
  return new CodedError('sqlite/full', message, { cause })
}
