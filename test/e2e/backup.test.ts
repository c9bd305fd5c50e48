import { execFile } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openCloudQueries, type Accounting } from '#cloud-store'
import { nodeCrypto } from '#crypto-node'
import { readJournal } from '#fog-store'
import { account } from '../../apps/demo/account.ts'
import {
  prepareCluster,
  startCluster,
  startOne,
  stopCluster,
  stopTier,
  type Cluster,
} from '../../apps/demo/cluster.ts'
import { waitUntilDelivered, waitUntilDrained } from '../../apps/demo/drain.ts'
import { endProcess, fetchJson, waitUntilUp } from '../../apps/demo/processes.ts'
import { groundTruth } from '../support/ground-truth.ts'

const cli = join(import.meta.dirname, '../../apps/cli/main.ts')
let cluster: Cluster
let dir: string
const accidents: string[] = []

const onAccident = ({ name }: { name: string }, code: number | null) =>
  void accidents.push(`${name} ended by itself (${code})`)

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'fogmeter-restore-'))
  cluster = await prepareCluster({
    dir,
    fogs: 1,
    meters: 3,
    // Twenty minutes a second, a window every three quarters of one.
    source: 'kind = "replay"\nhouse = {index}\ninterval_seconds = 60\ntime_scale = 1200',
    block: 'readings = 16\nseconds = 60',
    window: 'idle_seconds = 1\nrevision_delay_ms = 200',
  })
  await startCluster(cluster, onAccident)
})
afterAll(async () => {
  await stopCluster(cluster)
  rmSync(dir, { recursive: true, force: true })
})

interface Outcome {
  code: number
  stdout: string
  stderr: string
}

function fogmeter(...args: string[]): Promise<Outcome> {
  return new Promise((resolve) => {
    execFile(process.execPath, [cli, ...args], (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr })
    })
  })
}

function specOf(name: string) {
  const spec = cluster.specs.find((candidate) => candidate.name === name)
  if (spec === undefined) throw new Error(name)
  return spec
}

const configOf = (name: string) => specOf(name).config
const backupOf = (name: string) => join(dir, `${name}.backup`)

function ask<T>(path: string, question: (open: ReturnType<typeof openCloudQueries>) => T): T {
  const open = openCloudQueries(path)
  try {
    return question(open)
  } finally {
    open.close()
  }
}

const accounting = (path = cluster.cloudStore): Accounting =>
  ask(path, ({ queries }) => queries.accounting())
const fogOf = ({ fogs }: Accounting) => fogs[0] ?? { summaries: 0, durable: 0, readings: 0 }

/** Windows as the cloud has them, by start. */
function windows(path = cluster.cloudStore): Map<string, number> {
  return ask(path, ({ queries }) => {
    const { items } = queries.listSummaries({ limit: 1_000 })
    return new Map(items.map((row) => [row.start, row.readings]))
  })
}

function events(code: string): { meter: string | null; detail: string }[] {
  return ask(cluster.cloudStore, ({ queries }) =>
    queries
      .listEvents({ limit: 1_000 })
      .items.filter((event) => event.code === code)
      .map(({ device, detail }) => ({ meter: device, detail })),
  )
}

async function untilSummaries(more: number): Promise<void> {
  const wanted = fogOf(accounting()).summaries + more
  while (fogOf(accounting()).summaries < wanted) await new Promise((go) => setTimeout(go, 100))
}

async function stop(name: string): Promise<void> {
  const running = cluster.running.get(name)
  if (running) await endProcess(running, 'SIGTERM')
}

async function start(name: string): Promise<void> {
  await waitUntilUp(startOne(cluster, specOf(name), onAccident))
}

/** Highest number each meter has a receipt for, by its own word. */
async function receipted(): Promise<Map<string, number>> {
  const found = new Map<string, number>()
  for (const { name } of cluster.meters) {
    const view = (await fetchJson(specOf(name).port, '/status')) as {
      meters: { deviceId: string; receiptedThrough: number }[]
    }
    for (const { deviceId, receiptedThrough } of view.meters) found.set(deviceId, receiptedThrough)
  }
  return found
}

function numbersIn(path: string): Map<string, Set<number>> {
  const found = new Map<string, Set<number>>()
  readJournal(path, nodeCrypto, ({ deviceId, block }) => {
    const numbers = found.get(deviceId) ?? new Set()
    found.set(deviceId, numbers)
    for (const { number } of block.readings) numbers.add(number)
  })
  return found
}

describe('backups of running programs', () => {
  test('hold everything that was receipted before they began', async () => {
    await untilSummaries(3)
    const before = { meters: await receipted(), fog: fogOf(accounting()) }
    for (const name of ['cloud', 'fog-1-agent', 'meter-01']) {
      const { program } = specOf(name)
      const out = backupOf(name)
      const done = await fogmeter(
        'backup',
        program,
        '--config',
        configOf(name),
        '--out',
        out,
        '--json',
      )
      expect(done).toMatchObject({ code: 0, stderr: '' })
      expect(JSON.parse(done.stdout)).toMatchObject({ kind: program, path: out })
      expect(statSync(out).mode & 0o777).toBe(0o600)
    }
    const journal = numbersIn(backupOf('fog-1-agent'))
    for (const [meter, through] of before.meters) {
      expect(through).toBeGreaterThan(10)
      for (let number = 1; number <= through; number++)
        expect(journal.get(meter)?.has(number)).toBe(true)
    }
    const held = fogOf(accounting(backupOf('cloud')))
    expect(held.durable).toBeGreaterThanOrEqual(before.fog.durable)
    expect(held.readings).toBeGreaterThanOrEqual(before.fog.readings)
  })

  test('never overwrite, and are not restored under a running program', async () => {
    const again = await fogmeter(
      'backup',
      'cloud',
      '--config',
      configOf('cloud'),
      '--out',
      backupOf('cloud'),
    )
    expect(again).toMatchObject({ code: 1, stdout: '' })
    expect(again.stderr).toContain('--force')
    const attempts = ['cloud', 'fog-1-agent', 'meter-01'].map((name) => {
      const { program } = specOf(name)
      const args = ['restore', program, '--config', configOf(name), '--from', backupOf(name)]
      return fogmeter(...args)
    })
    for (const refused of await Promise.all(attempts)) {
      expect(refused).toMatchObject({ code: 1, stdout: '' })
      expect(refused.stderr).toContain('in use by another process')
    }
    const wrong = await fogmeter(
      'restore',
      'agent',
      '--config',
      configOf('fog-1-agent'),
      '--from',
      backupOf('cloud'),
    )
    expect(wrong).toMatchObject({ code: 4, stdout: '' })
    expect(wrong.stderr).toContain('a backup of the cloud cloud-a')
  })
})

async function restore(name: string): Promise<void> {
  await stop(name)
  const { program } = specOf(name)
  const args = ['restore', program, '--config', configOf(name), '--from', backupOf(name), '--json']
  const done = await fogmeter(...args)
  expect(done).toMatchObject({ code: 0, stderr: '' })
  const { kept } = JSON.parse(done.stdout) as { kept: string }
  expect(existsSync(kept)).toBe(true)
  await start(name)
}

describe('a cloud set back to an earlier backup', () => {
  test('gets again what its fog node still has, and ends up exact', async () => {
    await untilSummaries(4)
    const lost = fogOf(accounting())
    await restore('cloud')
    while (events('cloud-set-back').length === 0) await new Promise((go) => setTimeout(go, 100))
    await untilSummaries(2)
    await waitUntilDelivered(cluster)
    await stopTier(cluster, 'meter', 60_000)
    await waitUntilDrained(cluster)
    expect(events('gap').map(({ detail }) => detail)).toEqual([
      expect.stringMatching(/^outbox numbers \d+ to \d+ are not stored here/),
    ])
    expect(readFileSync(specOf('fog-1-agent').log, 'utf8')).toContain('sending it again')
    const now = fogOf(accounting())
    expect(now.readings).toBeGreaterThan(lost.readings)
    const { problems, sent, accounted } = account(cluster)
    expect(problems).toEqual([])
    expect(accounted).toBe(sent)
    expect(await groundTruth(cluster)).toEqual([])
  }, 120_000)
})

describe('a fog node set back to an earlier backup', () => {
  test('says so, lists what it lacks, takes nothing from the cloud, and loses nothing new', async () => {
    for (const { name } of cluster.meters) await start(name)
    await untilSummaries(2)
    const backup = await fogmeter(
      'backup',
      'agent',
      '--config',
      configOf('fog-1-agent'),
      '--out',
      backupOf('fog-1-agent'),
      '--force',
    )
    expect(backup.code).toBe(0)
    await untilSummaries(4)
    await stop('fog-1-agent')
    const before = windows()
    await restore('fog-1-agent')
    await untilSummaries(4)
    await waitUntilDelivered(cluster)
    await stopTier(cluster, 'meter', 60_000)
    await waitUntilDrained(cluster)
    await stopCluster(cluster)

    expect(events('restored')).toHaveLength(1)
    expect(events('numbers-restarted')).toHaveLength(1)
    // Nothing the cloud had counted is taken back by a node that remembers less.
    for (const [from, readings] of before)
      expect(windows().get(from)).toBeGreaterThanOrEqual(readings)
    // Every reading is in the restored store or in a gap it reported.
    const journal = numbersIn(cluster.fogs[0]?.store ?? '')
    const gaps = events('gap').flatMap(({ meter, detail }) => {
      const [, from, to] = /^readings (\d+) to (\d+) are not stored/.exec(detail) ?? []
      return meter === null ? [] : [{ meter, from: Number(from), to: Number(to) }]
    })
    expect(gaps.map(({ meter }) => meter).toSorted()).toEqual(
      cluster.meters.map(({ name }) => name),
    )
    for (const { meter, number: newest } of accounting().meters) {
      for (let number = 1; number <= newest; number++) {
        const listed = gaps.some(
          (gap) => gap.meter === meter && gap.from <= number && number <= gap.to,
        )
        expect(journal.get(meter)?.has(number) !== listed).toBe(true)
      }
    }
    // The registers, and with them the energy, are exact across the gap.
    expect(await groundTruth(cluster)).toEqual([])
    expect(accidents).toEqual([])
  }, 120_000)
})
