import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import BetterSqlite3 from 'better-sqlite3'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { codeOf } from '#errors'
import { lockDatabase, openDatabase } from '#sqlite'
import { assertDurable } from '../../libs/sqlite/open.ts'
import type { StoreOwner } from '../../libs/sqlite/owner.ts'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'fogmeter-sqlite-'))
})
afterEach(() => {
  rmSync(folder, { recursive: true, force: true })
})

const schema = ['CREATE TABLE t (id INTEGER PRIMARY KEY, x INTEGER NOT NULL) STRICT']
const second = 'ALTER TABLE t ADD COLUMN y INTEGER'
const codeFrom = (work: () => unknown): string => {
  try {
    work()
  } catch (error) {
    return codeOf(error)
  }
  return 'no error'
}

describe('opening', () => {
  test('a new file is private, in WAL mode and commits at FULL', () => {
    const path = join(folder, 'a.db')
    const db = openDatabase(path, { migrations: schema })
    db.prepare('INSERT INTO t (x) VALUES (?)').run(7)
    for (const file of [path, `${path}-wal`]) expect(statSync(file).mode & 0o777).toBe(0o600)
    expect(db.prepare('PRAGMA journal_mode').get()).toEqual({ journal_mode: 'wal' })
    expect(db.prepare('PRAGMA synchronous').get()).toEqual({ synchronous: 2 })
    expect(db.prepare('PRAGMA foreign_keys').get()).toEqual({ foreign_keys: 1 })
    db.close()
  })

  test('a file left readable by others is made private', () => {
    const path = join(folder, 'a.db')
    openDatabase(path, { migrations: schema }).close()
    chmodSync(path, 0o644)
    openDatabase(path, { migrations: schema }).close()
    expect(statSync(path).mode & 0o777).toBe(0o600)
  })

  test('what cannot commit durably is refused', () => {
    expect(codeFrom(() => openDatabase(':memory:', { migrations: schema }))).toBe(
      'sqlite/not-durable',
    )
    const path = join(folder, 'n.db')
    openDatabase(path, { migrations: schema }).close()
    // better-sqlite3 opens an existing WAL file at NORMAL: exactly the trap this check is for.
    const handle = new BetterSqlite3(path)
    handle.prepare('SELECT * FROM t').all()
    expect(codeFrom(() => assertDurable('n.db', handle))).toBe('sqlite/not-durable')
    handle.pragma('synchronous = FULL')
    expect(codeFrom(() => assertDurable('n.db', handle))).toBe('no error')
    handle.close()
  })

  test('a missing folder, a foreign file and a missing read-only file have codes', () => {
    const missing = join(folder, 'no', 'a.db')
    expect(codeFrom(() => openDatabase(missing, { migrations: schema }))).toBe('sqlite/cannot-open')
    expect(codeFrom(() => openDatabase(missing, { migrations: schema, readonly: true }))).toBe(
      'sqlite/cannot-open',
    )
    const text = join(folder, 'text.db')
    writeFileSync(text, 'not a database, just text. '.repeat(100))
    expect(codeFrom(() => openDatabase(text, { migrations: schema }))).toBe('sqlite/corrupt')
  })
})

describe('migrations', () => {
  test('run once each, in order, and keep the data', () => {
    const path = join(folder, 'a.db')
    const first = openDatabase(path, { migrations: schema })
    first.prepare('INSERT INTO t (x) VALUES (1)').run()
    first.close()
    for (const round of [1, 2]) {
      const db = openDatabase(path, { migrations: [...schema, second] })
      expect([round, db.prepare('SELECT x, y FROM t').all()]).toEqual([round, [{ x: 1, y: null }]])
      db.close()
    }
  })

  test('a step that fails leaves nothing of the steps before it', () => {
    const path = join(folder, 'a.db')
    const broken = [...schema, 'CREATE TABLE nonsense (']
    expect(codeFrom(() => openDatabase(path, { migrations: broken }))).toBe('sqlite/failed')
    const db = openDatabase(path, { migrations: [] })
    expect(db.prepare('SELECT name FROM sqlite_schema').all()).toEqual([])
    db.close()
  })

  test('a schema from the future is refused', () => {
    const path = join(folder, 'a.db')
    openDatabase(path, { migrations: [...schema, second] }).close()
    expect(codeFrom(() => openDatabase(path, { migrations: schema }))).toBe('sqlite/newer-schema')
  })
})

describe('whose store it is', () => {
  const owner = { kind: 'agent', table: 't' }
  const open = (path: string, changes: Partial<StoreOwner> = {}) =>
    openDatabase(path, { migrations: schema, owner: { ...owner, ...changes } }).close()

  test('another program is refused before it changes a byte; without the check it would migrate', () => {
    const path = join(folder, 'a.db')
    open(path)
    const before = readFileSync(path)
    const meter = { kind: 'meter', table: 'note' }
    const migrations = [...schema, second]
    const readonly = { migrations, owner: meter, readonly: true }
    expect(codeFrom(() => openDatabase(path, { migrations, owner: meter }))).toBe(
      'sqlite/wrong-store',
    )
    expect(codeFrom(() => openDatabase(path, readonly))).toBe('sqlite/wrong-store')
    expect(readFileSync(path)).toEqual(before)
    open(path)
    openDatabase(path, { migrations }).close()
    expect(codeFrom(() => open(path))).toBe('sqlite/newer-schema')
  })

  test('the first device to open it keeps it', () => {
    const path = join(folder, 'a.db')
    open(path)
    open(path, { device: 'fog-1' })
    open(path, { device: 'fog-1' })
    open(path)
    expect(codeFrom(() => open(path, { device: 'fog-2' }))).toBe('sqlite/wrong-store')
    open(path, { device: 'fog-1' })
  })

  test('one that does not say is known by its table, and says so from then on', () => {
    const path = join(folder, 'a.db')
    openDatabase(path, { migrations: schema }).close()
    expect(codeFrom(() => open(path, { kind: 'meter', table: 'note' }))).toBe('sqlite/wrong-store')
    open(path)
    expect(codeFrom(() => open(path, { kind: 'meter' }))).toBe('sqlite/wrong-store')
  })

  test('a database of something else altogether is left alone', () => {
    const path = join(folder, 'other.db')
    const other = new BetterSqlite3(path)
    other.exec('CREATE TABLE states (id INTEGER PRIMARY KEY)')
    other.close()
    const before = readFileSync(path)
    expect(codeFrom(() => open(path))).toBe('sqlite/wrong-store')
    expect(readFileSync(path)).toEqual(before)
  })
})

describe('working', () => {
  test('a throw rolls the transaction back and passes through unchanged', () => {
    const db = openDatabase(join(folder, 'a.db'), { migrations: schema })
    const insert = db.prepare('INSERT INTO t (x) VALUES (?)')
    const mine = new Error('mine')
    expect(() =>
      db.transaction(() => {
        insert.run(1)
        throw mine
      }),
    ).toThrow(mine)
    expect(db.transaction(() => insert.run(2).changes)).toBe(1)
    expect(db.prepare('SELECT x FROM t').all()).toEqual([{ x: 2 }])
    db.close()
  })

  test('a second writer gets sqlite/busy, a broken rule sqlite/constraint', () => {
    const path = join(folder, 'a.db')
    const one = openDatabase(path, { migrations: schema })
    const two = openDatabase(path, { migrations: schema, busyTimeoutMs: 1 })
    one.transaction(() => {
      one.prepare('INSERT INTO t (x) VALUES (1)').run()
      expect(codeFrom(() => two.transaction(() => 0))).toBe('sqlite/busy')
    })
    expect(codeFrom(() => one.prepare('INSERT INTO t (x) VALUES (NULL)').run())).toBe(
      'sqlite/constraint',
    )
    one.close()
    two.close()
  })

  test('a checkpoint empties the WAL', () => {
    const path = join(folder, 'a.db')
    const db = openDatabase(path, { migrations: schema })
    db.prepare('INSERT INTO t (x) VALUES (1)').run()
    expect(statSync(`${path}-wal`).size).toBeGreaterThan(0)
    expect(db.checkpoint()).toBe(true)
    expect(statSync(`${path}-wal`).size).toBe(0)
    db.close()
  })

  test('damage inside the file is found by the integrity check', () => {
    const path = join(folder, 'a.db')
    const migrations = [...schema, 'CREATE INDEX by_x ON t (x)']
    const db = openDatabase(path, { migrations })
    const insert = db.prepare('INSERT INTO t (x) VALUES (?)')
    db.transaction(() => Array.from({ length: 50 }, (_, x) => insert.run(x)))
    expect(codeFrom(() => db.checkIntegrity())).toBe('no error')
    db.close()
    flipIndexBit(path)
    const again = openDatabase(path, { migrations })
    expect(codeFrom(() => again.checkIntegrity())).toBe('sqlite/corrupt')
    again.close()
  })
})

/** Flips one bit of the index's first entry, which SQLite keeps at the very end of its page. */
function flipIndexBit(path: string): void {
  const raw = new BetterSqlite3(path)
  const root = raw.prepare("SELECT rootpage FROM sqlite_schema WHERE name = 'by_x'").pluck().get()
  const pageSize = Number(raw.pragma('page_size', { simple: true }))
  raw.close()
  const bytes = readFileSync(path)
  const at = Number(root) * pageSize - 1
  bytes[at] = bytes[at]! ^ 1
  writeFileSync(path, bytes)
}

describe('locking', () => {
  test('one process at a time works on a database, others may read it', () => {
    const path = join(folder, 'a.db')
    const unlock = lockDatabase(path)
    const db = openDatabase(path, { migrations: schema })
    expect(codeFrom(() => lockDatabase(path))).toBe('sqlite/busy')
    const reader = openDatabase(path, { migrations: schema, readonly: true })
    expect(reader.prepare('SELECT * FROM t').all()).toEqual([])
    reader.close()
    db.close()
    unlock()
    lockDatabase(path)()
    expect(statSync(`${path}-lock`).mode & 0o777).toBe(0o600)
  })

  test('a folder that does not exist is said to be the problem', () => {
    expect(codeFrom(() => lockDatabase(join(folder, 'none/a.db')))).toBe('sqlite/cannot-open')
  })
})
