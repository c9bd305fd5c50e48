import {
  chownSync,
  copyFileSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import BetterSqlite3 from 'better-sqlite3'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { codeOf } from '#errors'
import { backupDatabase, lockDatabase, openDatabase, readMark, restoreDatabase } from '#sqlite'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'fogmeter-backup-'))
})
afterEach(() => {
  rmSync(folder, { recursive: true, force: true })
})

const migrations = ['CREATE TABLE t (id INTEGER PRIMARY KEY, x BLOB NOT NULL) STRICT']
const owner = { kind: 'agent', owner: 'fog-1' }
const taking = { ...owner, now: () => 1_800_000_000_000 }
const at = (name: string) => join(folder, name)
/** Without what SQLite leaves beside a store that somebody looked at. */
const files = () =>
  readdirSync(folder)
    .filter((name) => !/-(wal|shm)$/.test(name))
    .toSorted()

function open(path: string) {
  return openDatabase(path, { migrations })
}

function fill(path: string, rows: number, bytes = 100): void {
  const db = open(path)
  const insert = db.prepare('INSERT INTO t (x) VALUES (?)')
  db.transaction(() => {
    for (let row = 0; row < rows; row++) insert.run(new Uint8Array(bytes).fill(row & 255))
  })
  db.close()
}

function count(path: string): number {
  const handle = new BetterSqlite3(path, { readonly: true })
  try {
    return (handle.prepare('SELECT count(*) AS n FROM t').get() as { n: number }).n
  } finally {
    handle.close()
  }
}

function restore(from: string, path: string, expected = owner): string {
  try {
    restoreDatabase(from, path, {
      ...expected,
      stamp: 'then',
      tryOut: (copy) => open(copy).close(),
    })
    return 'restored'
  } catch (error) {
    return codeOf(error)
  }
}

const codeFrom = async (work: Promise<unknown>) => work.then(() => 'no error', codeOf)

describe('a backup', () => {
  test('is one private, marked, whole file; nothing else stays behind', async () => {
    fill(at('a.db'), 500)
    const report = await backupDatabase(at('a.db'), at('a.backup'), taking)
    expect(report).toMatchObject({ ...owner, takenS: 1_800_000_000, path: at('a.backup') })
    expect(report.bytes).toBe(statSync(at('a.backup')).size)
    expect(statSync(at('a.backup')).mode & 0o777).toBe(0o600)
    expect(count(at('a.backup'))).toBe(500)
    expect(files()).toEqual(['a.backup', 'a.db'])
  })

  test('never takes the place of a file unless told to', async () => {
    fill(at('a.db'), 5)
    writeFileSync(at('a.backup'), 'something else')
    expect(await codeFrom(backupDatabase(at('a.db'), at('a.backup'), taking))).toBe('backup/exists')
    expect(readFileSync(at('a.backup'), 'utf8')).toBe('something else')
    await backupDatabase(at('a.db'), at('a.backup'), { ...taking, force: true })
    expect(count(at('a.backup'))).toBe(5)
  })

  test('of a store that is written all the while is one moment of it, and ends', async () => {
    fill(at('a.db'), 4_000, 2_000)
    const writer = open(at('a.db'))
    const insert = writer.prepare('INSERT INTO t (x) VALUES (?)')
    let written = 4_000
    let steps = 0
    await backupDatabase(at('a.db'), at('a.backup'), {
      ...taking,
      // Between any two steps the program commits, which makes a backup without a snapshot start over.
      onProgress: () => {
        steps += 1
        insert.run(new Uint8Array(2_000))
        written += 1
      },
    })
    expect(steps).toBeGreaterThan(1)
    expect(count(at('a.backup'))).toBe(4_000)
    expect(written).toBe(4_000 + steps)
    writer.close()
  })

  test('holds what was committed and still only in the WAL', async () => {
    const db = open(at('a.db'))
    db.prepare('INSERT INTO t (x) VALUES (?)').run(new Uint8Array(3))
    expect(statSync(`${at('a.db')}-wal`).size).toBeGreaterThan(0)
    await backupDatabase(at('a.db'), at('a.backup'), taking)
    expect(count(at('a.backup'))).toBe(1)
    db.close()
  })

  test('of a damaged store is refused, and leaves no file', async () => {
    fill(at('a.db'), 2_000)
    const bytes = readFileSync(at('a.db'))
    bytes.fill(0x5a, 4_096 * 2, 4_096 * 5)
    writeFileSync(at('a.db'), bytes)
    expect(await codeFrom(backupDatabase(at('a.db'), at('a.backup'), taking))).toBe(
      'sqlite/corrupt',
    )
    expect(files()).toEqual(['a.db'])
  })

  test('of a missing store, or into a missing folder, says so', async () => {
    expect(await codeFrom(backupDatabase(at('no.db'), at('a.backup'), taking))).toBe(
      'sqlite/cannot-open',
    )
    fill(at('a.db'), 5)
    expect(await codeFrom(backupDatabase(at('a.db'), at('none/a.backup'), taking))).toBe(
      'sqlite/cannot-open',
    )
    expect(files()).toEqual(['a.db'])
  })
})

/** By SQLite's own check. */
function isWhole(path: string): boolean {
  try {
    const db = new BetterSqlite3(path, { readonly: true })
    try {
      return db.pragma('integrity_check', { simple: true }) === 'ok'
    } finally {
      db.close()
    }
  } catch {
    return false
  }
}

describe('restoring', () => {
  beforeEach(async () => {
    fill(at('a.db'), 10)
    await backupDatabase(at('a.db'), at('a.backup'), taking)
  })

  test('puts the backup in place, keeps the old store with its WAL, and leaves the mark', () => {
    const db = open(at('a.db'))
    db.prepare('INSERT INTO t (x) VALUES (?)').run(new Uint8Array(1))
    // As after a crash: the newest row is only in the WAL.
    for (const end of ['', '-wal']) {
      writeFileSync(at(`c.db${end}`), readFileSync(at(`a.db${end}`)))
    }
    db.close()
    expect(restore(at('a.backup'), at('c.db'))).toBe('restored')
    expect(existsSync(at('c.db-wal'))).toBe(false)
    expect(count(at('c.db'))).toBe(10)
    expect(count(at('c.db.before-then'))).toBe(11)
    expect(statSync(at('c.db')).mode & 0o777).toBe(0o600)
    const restored = open(at('c.db'))
    expect(readMark(restored)).toEqual({ ...owner, takenS: 1_800_000_000 })
    restored.close()
  })

  test('is refused while somebody reads the store, and changes nothing', () => {
    const reader = new BetterSqlite3(at('a.db'), { readonly: true })
    reader.exec('BEGIN')
    reader.prepare('SELECT count(*) FROM t').get()
    expect(restore(at('a.backup'), at('a.db'))).toBe('sqlite/busy')
    reader.close()
    expect(existsSync(at('a.db.before-then'))).toBe(false)
    expect(restore(at('a.backup'), at('a.db'))).toBe('restored')
  }, 20_000)

  test.each([
    ['no database', 'x'.repeat(9_000), 'no log either'],
    ['empty, beside a WAL that SQLite would delete', '', 'the log of a store that was'],
  ])('a store that is %s is kept with its WAL, byte by byte', (_, main, wal) => {
    writeFileSync(at('d.db'), main)
    writeFileSync(at('d.db-wal'), wal)
    expect(restore(at('a.backup'), at('d.db'))).toBe('restored')
    expect(count(at('d.db'))).toBe(10)
    expect(readFileSync(at('d.db.before-then'), 'utf8')).toBe(main)
    expect(readFileSync(at('d.db.before-then-wal'), 'utf8')).toBe(wal)
    expect(existsSync(at('d.db-restoring'))).toBe(false)
  })

  test('a store in the middle of a change, as an earlier restore may have left it, is kept whole', () => {
    fill(at('g.db'), 50, 2_000)
    const db = new BetterSqlite3(at('g.db'))
    db.pragma('journal_mode = DELETE')
    db.pragma('cache_size = 2')
    db.exec('BEGIN; UPDATE t SET x = zeroblob(3000)')
    for (const end of ['', '-journal']) copyFileSync(at(`g.db${end}`), at(`h.db${end}`))
    db.exec('ROLLBACK')
    db.close()
    expect(readFileSync(at('h.db'))).not.toEqual(readFileSync(at('g.db')))
    expect(restore(at('a.backup'), at('h.db'))).toBe('restored')
    expect([count(at('h.db')), existsSync(at('h.db-journal'))]).toEqual([10, false])
    expect(readFileSync(at('h.db.before-then'))).toEqual(readFileSync(at('g.db')))
  })

  test('a WAL that lost its store is kept, and not read into the restored one', () => {
    const db = open(at('e.db'))
    db.prepare('INSERT INTO t (x) VALUES (?)').run(new Uint8Array(1))
    const wal = readFileSync(at('e.db-wal'))
    db.close()
    writeFileSync(at('f.db-wal'), wal)
    expect(restore(at('a.backup'), at('f.db'))).toBe('restored')
    expect(count(at('f.db'))).toBe(10)
    expect(readFileSync(at('f.db.before-then-wal'))).toEqual(wal)
  })

  test('what a killed restore of a damaged store left is opened by nobody until the next one', async () => {
    writeFileSync(at('a.db-restoring'), '')
    expect(() => open(at('a.db'))).toThrow(
      expect.objectContaining({ code: 'sqlite/half-restored' }),
    )
    expect(await codeFrom(backupDatabase(at('a.db'), at('b.backup'), taking))).toBe(
      'sqlite/half-restored',
    )
    expect(restore(at('a.backup'), at('a.db'))).toBe('restored')
    expect(count(at('a.db'))).toBe(10)
  })

  test('works where there was no store', () => {
    expect(restore(at('a.backup'), at('new.db'))).toBe('restored')
    expect(count(at('new.db'))).toBe(10)
  })

  test('is refused while a program holds the store', () => {
    const unlock = lockDatabase(at('a.db'))
    expect(restore(at('a.backup'), at('a.db'))).toBe('sqlite/busy')
    unlock()
    expect(restore(at('a.backup'), at('a.db'))).toBe('restored')
  })

  test.each([
    ['of another device', { kind: 'agent', owner: 'fog-2' }],
    ['of another program', { kind: 'cloud', owner: 'fog-1' }],
  ])('a backup %s is refused', (_, expected) => {
    expect(restore(at('a.backup'), at('a.db'), expected)).toBe('backup/mismatch')
  })

  test('a damaged backup, a plain copy of a store and a missing file are refused', () => {
    const bytes = readFileSync(at('a.backup'))
    bytes.fill(0x5a, 4_096, 6_000)
    writeFileSync(at('bad.backup'), bytes)
    const before = readFileSync(at('a.db'))
    expect(restore(at('bad.backup'), at('a.db'))).toBe('backup/mismatch')
    expect(restore(at('a.db'), at('a.db'))).toBe('backup/mismatch')
    expect(restore(at('none.backup'), at('a.db'))).toBe('backup/missing')
    expect(readFileSync(at('a.db'))).toEqual(before)
  })

  test('one bit that flips anywhere in a backup is found, also inside a value', () => {
    const whole = readFileSync(at('a.backup'))
    let missedBySqlite = 0
    for (let byte = 0; byte < whole.length; byte += 61) {
      const flipped = Buffer.from(whole)
      flipped[byte]! ^= 1 << (byte % 8)
      writeFileSync(at('flipped.backup'), flipped)
      expect(restore(at('flipped.backup'), at('a.db'))).toMatch(/^(backup|sqlite)\//)
      if (isWhole(at('flipped.backup'))) missedBySqlite += 1
    }
    expect(missedBySqlite).toBeGreaterThan(0)
    writeFileSync(at('flipped.backup'), whole.subarray(0, -32))
    expect(restore(at('flipped.backup'), at('a.db'))).toBe('backup/mismatch')
    expect(existsSync(at('a.db.before-then'))).toBe(false)
  })

  test('a backup of a later release is refused before the store is touched', async () => {
    const later = openDatabase(at('later.db'), { migrations: [...migrations, 'SELECT 1'] })
    later.close()
    await backupDatabase(at('later.db'), at('later.backup'), taking)
    expect(restore(at('later.backup'), at('a.db'))).toBe('sqlite/newer-schema')
    expect(count(at('a.db'))).toBe(10)
    expect(existsSync(at('a.db.before-then'))).toBe(false)
  })
})

test.skipIf(process.getuid?.() !== 0)(
  'restored by root, the store is the program’s whose folder it is (skipped where this is not root)',
  async () => {
    fill(at('a.db'), 3)
    await backupDatabase(at('a.db'), at('a.backup'), taking)
    chownSync(folder, 12_345, 12_346)
    expect(restore(at('a.backup'), at('b.db'))).toBe('restored')
    for (const name of ['b.db', 'b.db-lock'])
      expect(statSync(at(name))).toMatchObject({ uid: 12_345, gid: 12_346 })
  },
)
