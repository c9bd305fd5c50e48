import { execFileSync } from 'node:child_process'
import { closeSync, mkdirSync, mkdtempSync, openSync, readdirSync, readFileSync } from 'node:fs'
import { rmSync, writeFileSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { account } from '../../apps/demo/account.ts'
import {
  prepareCluster,
  startCluster,
  stopCluster,
  stopTier,
  type Cluster,
} from '../../apps/demo/cluster.ts'
import { waitUntilDelivered, waitUntilDrained } from '../../apps/demo/drain.ts'
import type { ProcessSpec } from '../../apps/demo/processes.ts'
import { scrape, total } from '../../apps/demo/scrape.ts'
import { fogmeter } from '../support/fogmeter.ts'
import { groundTruth } from '../support/ground-truth.ts'

const mounted: string[] = []

function mount(folder: string): boolean {
  mkdirSync(folder, { recursive: true })
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=8m', 'tmpfs', folder], { stdio: 'ignore' })
    mounted.push(folder)
    return true
  } catch {
    return false
  }
}

const unmount = (folder: string) => execFileSync('umount', ['-l', folder])

/** Whether this user may mount at all. */
function canMount(): boolean {
  const probe = mkdtempSync(join(tmpdir(), 'fogmeter-mount-'))
  const can = mount(probe)
  if (can) unmount(mounted.pop() ?? '')
  rmSync(probe, { recursive: true, force: true })
  return can
}

/** The store of a program on a disk of eight megabytes. */
interface Small {
  spec: ProcessSpec
  fill: () => void
  free: () => void
}

let cluster: Cluster
let dir: string
const accidents: string[] = []
const small = new Map<string, Small>()
const can = canMount()

/** Moves the store of a program that is not running yet onto a small disk of its own. */
function shrink(name: string, store: string): string {
  const folder = join(dir, 'small', name)
  mount(folder)
  const path = join(folder, 'store.db')
  const spec = cluster.specs.find((candidate) => candidate.name === name)
  if (spec === undefined) throw new Error(name)
  const text = readFileSync(spec.config, 'utf8')
  writeFileSync(spec.config, text.replace(`path = "${store}"`, `path = "${path}"`))
  const filler = join(folder, 'filler')
  small.set(name, { spec, fill: () => fill(filler), free: () => rmSync(filler) })
  return path
}

/** Writes until nothing fits any more. */
function fill(path: string): void {
  const file = openSync(path, 'w')
  for (const size of [65_536, 512]) {
    try {
      for (;;) writeSync(file, new Uint8Array(size))
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error
    }
  }
  closeSync(file)
}

function configOf(name: string): string {
  return small.get(name)?.spec.config ?? ''
}

async function healthz({ port }: ProcessSpec): Promise<{ status: number; text: string }> {
  const response = await fetch(`http://127.0.0.1:${port}/healthz`)
  return { status: response.status, text: await response.text() }
}

async function until(spec: ProcessSpec, status: number): Promise<string> {
  for (;;) {
    const answer = await healthz(spec)
    if (answer.status === status) return answer.text
    await new Promise((go) => setTimeout(go, 100))
  }
}

async function gauge(program: string, name: string): Promise<number> {
  const specs = cluster.specs.filter((spec) => spec.program === program)
  return total(await Promise.all(specs.map(({ port }) => scrape(port))), name)
}

async function untilGauge(program: string, name: string, least: number): Promise<void> {
  while ((await gauge(program, name)) < least) await new Promise((go) => setTimeout(go, 100))
}

/** Fills, waits until the program says so, and checks its words. */
async function fillUp(name: string): Promise<Small> {
  const disk = small.get(name)
  if (disk === undefined) throw new Error(name)
  await until(disk.spec, 200)
  disk.fill()
  const words = await until(disk.spec, 503)
  expect(words).toContain('the disk is full; free space, nothing acknowledged was lost')
  expect(readFileSync(disk.spec.log, 'utf8')).toContain('the disk is full; free space')
  return disk
}

/** While meters go on, the outbox is empty only for moments. */
async function waitUntilDrainedOnce(): Promise<void> {
  while ((await gauge('agent', 'fogmeter_agent_outbox_items')) > 0)
    await new Promise((go) => setTimeout(go, 50))
}

describe.skipIf(!can)('a disk that is full and then is not (needs the right to mount)', () => {
  beforeAll(async () => {
    dir = mkdtempSync(join(tmpdir(), 'fogmeter-full-'))
    cluster = await prepareCluster({
      dir,
      fogs: 1,
      meters: 2,
      source: 'kind = "replay"\nhouse = {index}\ninterval_seconds = 60\ntime_scale = 1200',
      block: 'readings = 8\nseconds = 60',
      window: 'idle_seconds = 1\nrevision_delay_ms = 200',
    })
    const [fog] = cluster.fogs
    const [meter] = cluster.meters
    if (!fog || !meter) throw new Error('an empty cluster')
    fog.store = shrink('fog-1-agent', fog.store)
    cluster.cloudStore = shrink('cloud', cluster.cloudStore)
    meter.store = shrink('meter-01', meter.store)
    await startCluster(cluster, ({ name }, code) => void accidents.push(`${name} (${code})`))
  })
  afterAll(async () => {
    await stopCluster(cluster)
    for (const folder of mounted) unmount(folder)
    rmSync(dir, { recursive: true, force: true })
  })

  test('the fog node: meters keep what it cannot store, and deliver it afterwards', async () => {
    await untilGauge('agent', 'fogmeter_agent_readings_total', 50)
    const { spec, free } = await fillUp('fog-1-agent')
    const out = join(dir, 'small/fog-1-agent/cloud.backup')
    const backup = await fogmeter('backup', 'cloud', '--config', configOf('cloud'), '--out', out)
    expect(backup.code).toBe(1)
    expect(backup.stderr).toContain(`${out}: `)
    expect(backup.stderr).toContain('the disk is full')
    expect(readdirSync(dirname(out)).filter((name) => name.includes('backup'))).toEqual([])
    await untilGauge('meter', 'fogmeter_meter_outbox_blocks', 20)
    const stored = await gauge('agent', 'fogmeter_agent_readings_total')
    free()
    await until(spec, 200)
    await untilGauge('agent', 'fogmeter_agent_readings_total', stored + 100)
    expect(await healthz(spec)).toEqual({ status: 200, text: 'ok\n' })
  }, 60_000)

  test('the cloud: fog nodes keep what it cannot store, and deliver it afterwards', async () => {
    const { spec, free } = await fillUp('cloud')
    await untilGauge('agent', 'fogmeter_agent_outbox_items', 4)
    free()
    await until(spec, 200)
    await waitUntilDelivered(cluster)
    await waitUntilDrainedOnce()
    expect(await healthz(spec)).toEqual({ status: 200, text: 'ok\n' })
  }, 60_000)

  test('nothing is lost or doubled, and a meter with a full disk goes on afterwards', async () => {
    const { spec, free } = await fillUp('meter-01')
    free()
    await until(spec, 200)
    const [meter] = cluster.meters
    const before = await gauge('agent', 'fogmeter_agent_readings_total')
    await untilGauge('agent', 'fogmeter_agent_readings_total', before + 40)
    await waitUntilDelivered(cluster)
    await stopTier(cluster, 'meter', 60_000)
    await waitUntilDrained(cluster)
    await stopCluster(cluster)
    const { problems, sent, accounted } = account(cluster)
    expect(problems).toEqual([])
    expect(accounted).toBe(sent)
    // What a meter cannot store it has not measured: only its own energy may miss something.
    const wrong = await groundTruth(cluster)
    expect(wrong.filter((line) => !line.startsWith(`${meter?.name}:`))).toEqual([])
    expect(accidents).toEqual([])
  }, 120_000)
})
