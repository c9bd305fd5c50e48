import { closeSync, openSync } from 'node:fs'
import BetterSqlite3 from 'better-sqlite3'
import { CodedError } from '#errors'
import { openError } from './open.ts'

/** How long a program that is just being restarted may take to let go. */
const PATIENCE_MS = 2_000

/**
 * Makes this process the only one that may work on the database at `path`, beside which an empty
 * `-lock` file appears; others can still read the database. The system lets go when the process
 * ends, however it ends. Returns what lets go earlier.
 * @throws sqlite/busy when another process has it, sqlite/cannot-open
 */
export function lockDatabase(path: string): () => void {
  let handle: BetterSqlite3.Database | undefined
  try {
    closeSync(openSync(`${path}-lock`, 'a', 0o600))
    handle = new BetterSqlite3(`${path}-lock`, { timeout: PATIENCE_MS })
    handle.exec('BEGIN EXCLUSIVE')
    return () => void handle?.close()
  } catch (error) {
    handle?.close()
    throw isBusy(error) ? inUse(path, error) : openError(path, error)
  }
}

function isBusy(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'SQLITE_BUSY'
}

function inUse(path: string, cause: unknown): CodedError {
  const message =
    `${path} is in use by another process: is this program running already? ` +
    'Stop it, or give this one a store.path of its own'
  return new CodedError('sqlite/busy', message, { cause })
}
