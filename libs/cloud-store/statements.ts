import type { Database, SqlValue, Statement } from '#sqlite'

/** Prepares each SQL text once. The texts are constants or built from constants, never from input. */
export interface Statements {
  run(sql: string, params: readonly SqlValue[]): void
  /** The rows are what the caller says the SQL yields. */
  all<Row>(sql: string, params?: readonly SqlValue[]): Row[]
}

export function createStatements(database: Database): Statements {
  const prepared = new Map<string, Statement>()
  function statement(sql: string): Statement {
    const known = prepared.get(sql)
    if (known) return known
    const made = database.prepare(sql)
    prepared.set(sql, made)
    return made
  }
  return {
    run: (sql, params) => void statement(sql).run(...params),
    all: <Row>(sql: string, params: readonly SqlValue[] = []) =>
      statement(sql).all(...params) as Row[],
  }
}

/** better-sqlite3 returns Buffers; the portable side promises plain bytes. */
export function plain(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes)
}

/** For statements that yield one row at most. */
export function first<Row>(rows: readonly Row[]): Row | null {
  return rows[0] ?? null
}
