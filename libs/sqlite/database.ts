import type BetterSqlite3 from 'better-sqlite3'
import { CodedError } from '#errors'

export type SqlValue = number | bigint | string | Uint8Array | null

/**
 * A prepared statement. It has no iterator on purpose: an iterator left open pins the WAL, and the
 * file then grows until the disk is full.
 */
export interface Statement<Row = unknown> {
  run(...params: SqlValue[]): { changes: number; lastInsertRowid: number | bigint }
  get(...params: SqlValue[]): Row | undefined
  all(...params: SqlValue[]): Row[]
}

/** One open database file. Every method throws `CodedError` with a `sqlite/…` code on failure. */
export interface Database {
  readonly path: string
  /** Rows come back as objects keyed by column name; blobs as Buffer (a Uint8Array). */
  prepare<Row = unknown>(sql: string): Statement<Row>
  exec(sql: string): void
  /**
   * Runs `work` inside BEGIN IMMEDIATE … COMMIT and returns its result; any throw rolls back.
   * When it returns, the changes are on disk (synchronous=FULL). Nested calls join the outer one.
   */
  transaction<T>(work: () => T): T
  /** Moves the WAL into the main file and truncates it; false when a reader kept it from finishing. */
  checkpoint(): boolean
  /** One durable write that changes nothing, to know that the disk still takes them. */
  probe(): void
  /** Throws `sqlite/corrupt` with the first findings of PRAGMA integrity_check. */
  checkIntegrity(): void
  close(): void
}

/** SQLite's own result names → our codes, with what to do about each. */
const failures: readonly [prefix: string, code: string, advice: string][] = [
  ['SQLITE_FULL', 'sqlite/full', 'the disk is full; free space, nothing acknowledged was lost'],
  ['SQLITE_BUSY', 'sqlite/busy', 'another process holds the file; only one program may write it'],
  ['SQLITE_CORRUPT', 'sqlite/corrupt', 'the file is damaged; restore it from a backup'],
  ['SQLITE_NOTADB', 'sqlite/corrupt', 'this is not a SQLite file; check store.path'],
  ['SQLITE_CANTOPEN', 'sqlite/cannot-open', 'check that the folder exists and is writable'],
  ['SQLITE_READONLY', 'sqlite/read-only', 'the file or its folder is not writable'],
  ['SQLITE_IOERR', 'sqlite/io', 'the disk failed; check its health'],
  ['SQLITE_CONSTRAINT', 'sqlite/constraint', 'a row breaks a rule of the schema'],
]

/** Any error raised by better-sqlite3, as one of ours; errors that are not SQLite's pass unchanged. */
export function sqliteError(path: string, error: unknown): unknown {
  if (!(error instanceof Error) || !('code' in error) || typeof error.code !== 'string')
    return error
  if (error instanceof CodedError || !error.code.startsWith('SQLITE_')) return error
  const name = error.code
  const known = failures.find(([prefix]) => name.startsWith(prefix))
  const advice = known ? `: ${known[2]}` : ''
  return new CodedError(
    known?.[1] ?? 'sqlite/failed',
    `${path}: ${error.message} (${name})${advice}`,
    {
      cause: error,
    },
  )
}

/** Wraps an open better-sqlite3 handle in the narrower door above. */
export function wrapDatabase(path: string, handle: BetterSqlite3.Database): Database {
  const guard = <T>(work: () => T): T => {
    try {
      return work()
    } catch (error) {
      throw sqliteError(path, error)
    }
  }
  return {
    path,
    prepare: <Row>(sql: string) =>
      guard(() => guardStatement(guard, handle.prepare<SqlValue[], Row>(sql))),
    exec: (sql) => guard(() => void handle.exec(sql)),
    transaction: (work) =>
      guard(() => (handle.inTransaction ? work() : handle.transaction(work).immediate())),
    checkpoint: () =>
      guard(() => {
        const [row] = handle.pragma('wal_checkpoint(TRUNCATE)') as { busy: number }[]
        return row?.busy === 0
      }),
    probe: () =>
      guard(() => {
        const version = Number(handle.pragma('user_version', { simple: true }))
        handle.pragma(`user_version = ${version}`)
      }),
    checkIntegrity: () => guard(() => checkIntegrity(path, handle)),
    close: () => guard(() => void handle.close()),
  }
}

function guardStatement<Row>(
  guard: <T>(work: () => T) => T,
  statement: BetterSqlite3.Statement<SqlValue[], Row>,
): Statement<Row> {
  return {
    run: (...params) => guard(() => statement.run(...params)),
    get: (...params) => guard(() => statement.get(...params)),
    all: (...params) => guard(() => statement.all(...params)),
  }
}

function checkIntegrity(path: string, handle: BetterSqlite3.Database): void {
  const rows = handle.pragma('integrity_check(5)') as { integrity_check: string }[]
  const findings = rows.map((row) => row.integrity_check)
  if (findings.length === 1 && findings[0] === 'ok') return
  throw new CodedError(
    'sqlite/corrupt',
    `${path} is damaged (${findings.join('; ')}): restore it from a backup`,
  )
}
