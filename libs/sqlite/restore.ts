import { copyFileSync, existsSync, statSync } from 'node:fs'
import BetterSqlite3 from 'better-sqlite3'
import { CodedError, codeOf } from '#errors'
import { wrapDatabase, type Database } from './database.ts'
import { digestFits, dropDigest } from './digest.ts'
import { createPrivateFile, giveToOwnerOfFolder, removeDatabase, syncPath } from './files.ts'
import { lockDatabase } from './lock.ts'
import { readMark, type BackupMark } from './mark.ts'
import { openError } from './open.ts'
import { replaceStore } from './replace.ts'

export interface RestoreOptions {
  kind: string
  owner: string
  /** Names the old store that is kept aside; no colons or slashes. */
  stamp: string
  /** Opens the copy the way the program will, bringing its schema up to date, and closes it again. */
  tryOut(path: string): void
}

export interface RestoreReport extends BackupMark {
  path: string
  /** Where the store that was there before is now; null when there was none. */
  kept: string | null
}

/**
 * Puts the backup at `from` in the place of the store at `path`. Everything is checked on a copy
 * before the store is touched; the store that was there stays beside it under another name. The
 * mark stays in the restored store until its program has seen it.
 *
 * @throws sqlite/busy while a program holds or reads the store, backup/mismatch when the backup is damaged,
 * none, or of another program or device, and whatever `tryOut` throws
 */
export function restoreDatabase(
  from: string,
  path: string,
  options: RestoreOptions,
): RestoreReport {
  const mark = checkBackup(from, options)
  const unlock = lockDatabase(path)
  const temporary = `${path}.partial`
  try {
    removeDatabase(temporary) // of a restore that was killed
    createPrivateFile(temporary)
    copyFileSync(from, temporary)
    dropDigest(temporary, statSync(temporary).size)
    options.tryOut(temporary)
    for (const file of [temporary, `${path}-lock`]) giveToOwnerOfFolder(file)
    syncPath(temporary)
    const kept = replaceStore(path, temporary, options.stamp)
    return { ...mark, path, kept }
  } catch (error) {
    throw openError(path, error)
  } finally {
    removeDatabase(temporary)
    unlock()
  }
}

/** Looks through the whole file; returns its mark. Throws `backup/mismatch`, sqlite/cannot-open. */
export function checkBackup(
  path: string,
  expected: Pick<BackupMark, 'kind' | 'owner'>,
): BackupMark {
  const mark = readBackup(path)
  if (mark === null) {
    throw mismatch(`${path} is a database, but not a backup made by "fogmeter backup"`)
  }
  if (mark.kind !== expected.kind || mark.owner !== expected.owner) {
    throw mismatch(
      `${path} is a backup of the ${mark.kind} ${mark.owner}, but this configuration is that of ` +
        `the ${expected.kind} ${expected.owner}`,
    )
  }
  return mark
}

function readBackup(path: string): BackupMark | null {
  let handle: BetterSqlite3.Database | undefined
  try {
    if (!existsSync(path)) throw new CodedError('backup/missing', `${path} does not exist`)
    handle = new BetterSqlite3(path, { readonly: true, fileMustExist: true })
    const db: Database = wrapDatabase(path, handle)
    db.checkIntegrity()
    const mark = readMark(db)
    if (mark !== null && !digestFits(path)) {
      throw mismatch(`${path} is damaged: it is not as it was written; take another backup`)
    }
    return mark
  } catch (error) {
    const known = openError(path, error)
    if (codeOf(known) !== 'sqlite/corrupt') throw known
    throw mismatch(`${path} is damaged, or no database at all: take another backup`, known)
  } finally {
    handle?.close()
  }
}

function mismatch(message: string, cause?: unknown): CodedError {
  return new CodedError('backup/mismatch', message, { cause })
}
