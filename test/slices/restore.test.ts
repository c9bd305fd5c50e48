import { execFile, spawnSync } from 'node:child_process'
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import BetterSqlite3 from 'better-sqlite3'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openCloudStore } from '#cloud-store'
import { codeOf } from '#errors'
import { openFogStore } from '#fog-store'
import { openMeterStore } from '#meter-store'
import { backupDatabase, restoreDatabase } from '#sqlite'
import { prepareCluster, type Cluster } from '../../apps/demo/cluster.ts'
import { specOf } from '../support/security.ts'

const cli = join(import.meta.dirname, '../../apps/cli/main.ts')
const hasStrace = spawnSync('strace', ['-V']).status === 0

/** After each of these the files on disk are others, or have other names. */
const calls = ['rename', 'link', 'unlink', 'unlinkat', 'fsync', 'fdatasync']

const openers = {
  agent: (path: string) => openFogStore(path, { now: Date.now }).close(),
  cloud: (path: string) => openCloudStore(path).database.close(),
  meter: (path: string) => openMeterStore(path).close(),
}
type Program = keyof typeof openers

interface Subject {
  program: Program
  owner: string
  config: string
  path: string
  backup: string
  /** A folder with the store as a crash left it: its newest rows only in the WAL. */
  crashed: string
}

let dir: string
let cluster: Cluster
const subjects = new Map<Program, Subject>()

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'fogmeter-replace-'))
  cluster = await prepareCluster({
    dir,
    fogs: 1,
    meters: 1,
    source: 'kind = "stdin"',
    block: 'readings = 16\nseconds = 60',
    window: 'idle_seconds = 1',
  })
  await prepare('agent', 'fog-1', 'fog-1-agent', cluster.fogs[0]!.store)
  await prepare('cloud', 'cloud-a', 'cloud', cluster.cloudStore)
  await prepare('meter', 'meter-01', 'meter-01', cluster.meters[0]!.store)
})
afterAll(() => rmSync(dir, { recursive: true, force: true }))

/** Five rows in the main file alone, ten in the backup, twenty in the store with its WAL. */
async function prepare(program: Program, owner: string, spec: string, path: string) {
  const crashed = join(dir, `crashed-${program}`)
  const backup = join(dir, `${program}.backup`)
  const kind = program
  mkdirSync(crashed)
  openers[program](path)
  const db = new BetterSqlite3(path)
  db.pragma('journal_mode = WAL')
  db.pragma('wal_autocheckpoint = 0')
  db.exec('CREATE TABLE filling (x INTEGER PRIMARY KEY, y BLOB NOT NULL) STRICT')
  const insert = db.prepare('INSERT INTO filling (y) VALUES (zeroblob(700))')
  const insertMany = (rows: number) => {
    for (let row = 0; row < rows; row++) insert.run()
  }
  insertMany(5)
  db.pragma('wal_checkpoint(TRUNCATE)')
  insertMany(5)
  await backupDatabase(path, backup, { kind, owner, now: Date.now })
  insertMany(10)
  for (const end of ['', '-wal']) copyFileSync(path + end, join(crashed, `store${end}`))
  db.close()
  subjects.set(program, {
    program,
    owner,
    config: specOf(cluster, spec).config,
    path,
    backup,
    crashed,
  })
}

const namesBeside = (path: string) =>
  readdirSync(dirname(path)).filter((name) => name.startsWith(basename(path)))

/** Puts the store back as the crash left it. */
function lay({ path, crashed }: Subject): void {
  for (const name of namesBeside(path)) rmSync(join(dirname(path), name))
  for (const end of ['', '-wal']) copyFileSync(join(crashed, `store${end}`), path + end)
}

/** What a program that starts finds in the store at `path`, tried out on a copy. */
function rowsIn(program: Program, path: string): number | string {
  const scratch = mkdtempSync(join(dir, 'scratch-'))
  const copy = join(scratch, 'store')
  for (const end of ['', '-wal', '-journal', '-restoring']) {
    if (existsSync(path + end)) copyFileSync(path + end, copy + end)
  }
  try {
    openers[program](copy)
    const db = new BetterSqlite3(copy, { readonly: true })
    try {
      expect(db.pragma('integrity_check', { simple: true })).toBe('ok')
      const table = db.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'filling'").get()
      if (table === undefined) return 'an empty store'
      return (db.prepare('SELECT count(*) AS n FROM filling').get() as { n: number }).n
    } finally {
      db.close()
    }
  } catch (error) {
    return codeOf(error)
  } finally {
    rmSync(scratch, { recursive: true })
  }
}

function keptBeside(path: string): string[] {
  return namesBeside(path)
    .filter((name) => /\.before-\w+$/.test(name))
    .map((name) => join(dirname(path), name))
}

/** Runs the command, killed at the `nth` call of a kind; false when it never came to that. */
function killedAt({ program, config, backup }: Subject, call: string, nth: number) {
  const inject = `inject=${call}:signal=KILL:when=${nth}`
  const restore = ['restore', program, '--config', config, '--from', backup]
  const traced = ['-f', '-qq', '-o', '/dev/null', '-e', `trace=${call}`, '-e', inject]
  return new Promise<boolean>((resolve, reject) => {
    execFile('strace', [...traced, process.execPath, cli, ...restore], (error, _, stderr) => {
      if (error === null) resolve(false)
      else if (error.signal === 'SIGKILL' || error.code === 137) resolve(true)
      else reject(new Error(`the restore failed by itself: ${stderr}`))
    })
  })
}

/** Kills restores one call later each time, of each kind, and looks at what each leaves. */
async function killEverywhere(subject: Subject, look: (at: string) => void, layOut = lay) {
  let killed = 0
  for (const call of calls) {
    for (let nth = 1; nth < 60; nth++) {
      layOut(subject)
      const cut = await killedAt(subject, call, nth)
      look(cut ? `${call} ${nth}` : `after the last ${call}`)
      if (!cut) break
      killed += 1
    }
  }
  return killed
}

/** In this process: the next try after one that was killed. */
function restoreAgain({ program, owner, path, backup }: Subject): void {
  const tryOut = openers[program]
  restoreDatabase(backup, path, { kind: program, owner, stamp: 'again', tryOut })
  expect(rowsIn(program, path)).toBe(10)
  expect(
    namesBeside(path).filter((name) => /partial|restoring|db-(wal|journal)/.test(name)),
  ).toEqual([])
}

/** Anything of a list. */
const oneOf = (list: readonly string[]) =>
  expect.toSatisfy((found: string) => list.includes(found), `one of: ${list.join('; ')}`)

const reason = hasStrace ? '' : ' (skipped without strace)'

describe.skipIf(!hasStrace)(`a restore that is killed${reason}`, () => {
  test.each(['agent', 'cloud', 'meter'] as const)(
    'at any call leaves the whole old store or the whole new one: %s',
    async (program) => {
      const subject = subjects.get(program)!
      const { path } = subject
      const kept = 'kept 20 in a file of its own'
      const seen = new Set<string>()
      const killed = await killEverywhere(subject, (at) => {
        const copies = keptBeside(path).map((file) => {
          const own =
            statSync(file).ino === statSync(path).ino ? 'the same file' : 'a file of its own'
          return `kept ${rowsIn(program, file)} in ${own}`
        })
        const found = [rowsIn(program, path), ...copies].join(', ')
        seen.add(found)
        expect({ at, found }).toEqual({ at, found: oneOf(['20', `20, ${kept}`, `10, ${kept}`]) })
        restoreAgain(subject)
      })
      expect(seen).toEqual(new Set(['20', `20, ${kept}`, `10, ${kept}`]))
      expect(killed).toBeGreaterThan(15)
    },
    300_000,
  )

  test('at any call leaves a store that was damaged as it is, refused, or the whole new one', async () => {
    const subject = subjects.get('agent')!
    const { path, crashed } = subject
    const main = readFileSync(join(crashed, 'store'))
    // The first pages are not those of a database, neither here nor in the WAL.
    main.fill(0x5a, 0, 2_000)
    const wal = Buffer.from('no log of anything')
    const layDamaged = () => {
      lay(subject)
      writeFileSync(path, main)
      writeFileSync(`${path}-wal`, wal)
    }
    const has = (pair: string) =>
      existsSync(`${pair}-wal`) &&
      readFileSync(pair).equals(main) &&
      readFileSync(`${pair}-wal`).equals(wal)
    const good = [
      'sqlite/corrupt, in place',
      'sqlite/half-restored, in place',
      'sqlite/half-restored, in place, kept',
      'sqlite/half-restored, kept',
      '10, kept',
    ]
    const seen = new Set<string>()
    const killed = await killEverywhere(
      subject,
      (at) => {
        const where = [has(path) ? ', in place' : '', keptBeside(path).some(has) ? ', kept' : '']
        const found = `${rowsIn('agent', path)}${where.join('')}`
        seen.add(found)
        expect({ at, found }).toEqual({ at, found: oneOf(good) })
        restoreAgain(subject)
      },
      layDamaged,
    )
    expect(seen).toEqual(new Set(good))
    expect(killed).toBeGreaterThan(15)
  }, 300_000)
})
