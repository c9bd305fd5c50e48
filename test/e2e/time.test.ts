import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { openCloudQueries } from '#cloud-store'
import {
  prepareCluster,
  startOne,
  stopCluster,
  stopTier,
  type Cluster,
} from '../../apps/demo/cluster.ts'
import { waitUntilDrained } from '../../apps/demo/drain.ts'
import { waitUntilUp } from '../../apps/demo/processes.ts'
import { metric, specOf, until } from '../support/security.ts'

const cli = join(import.meta.dirname, '../../apps/cli/main.ts')
const namespace = ['--mount', '--map-root-user']
const possible = spawnSync('unshare', [...namespace, 'mount', '-t', 'tmpfs', 'none', '/run'])
const reason = possible.status === 0 ? '' : ' (skipped: no mount namespaces here)'

let cluster: Cluster
let dir: string
let timesync: string
let meter: ChildProcess | undefined

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'fogmeter-time-'))
  timesync = mkdtempSync(join(dir, 'timesync-'))
  cluster = await prepareCluster({
    dir,
    fogs: 1,
    meters: 1,
    source: 'kind = "stdin"',
    block: 'readings = 2\nseconds = 60',
    window: 'seconds = 60\nidle_seconds = 1\nrevision_delay_ms = 200',
  })
  for (const name of ['fog-1-broker', 'cloud-broker', 'cloud', 'fog-1-agent']) {
    await waitUntilUp(startOne(cluster, specOf(cluster, name), () => undefined))
  }
})
afterAll(async () => {
  meter?.kill('SIGKILL')
  await stopCluster(cluster)
  rmSync(dir, { recursive: true, force: true })
})

/** The meter on a machine whose time service runs and has not set the clock since the boot. */
function startMeter(): ChildProcess {
  const { config, log } = specOf(cluster, 'meter-01')
  const script =
    'mount -t tmpfs none /run && mkdir -p /run/systemd/timesync && ' +
    'mount --bind "$0" /run/systemd/timesync && exec "$@"'
  const program = [process.execPath, cli, 'meter', 'run', '--config', config]
  return spawn('unshare', [...namespace, 'sh', '-c', script, timesync, ...program], {
    stdio: ['pipe', 'ignore', openSync(log, 'a')],
  })
}

test.skipIf(possible.status !== 0)(
  `readings of a meter that does not know the time wait for it, and are dated by their boot${reason}`,
  { timeout: 120_000 },
  async () => {
    const agent = specOf(cluster, 'fog-1-agent')
    const durable = () => metric(agent, 'agent_readings_total')
    meter = startMeter()
    const measure = (importWh: number) =>
      meter!.stdin!.write(`{"power_w": 600, "import_wh": ${importWh}}\n`)
    const before = Date.now()
    for (const importWh of [1_000, 1_010, 1_020, 1_030]) measure(importWh)
    await until('four readings are durable', async () => (await durable()) === 4)
    expect(await metric(agent, 'agent_readings_without_time')).toBe(4)
    expect(await metric(agent, 'windows_closed_total')).toBe(0)

    writeFileSync(join(timesync, 'synchronized'), '')
    for (const importWh of [1_040, 1_050]) measure(importWh)
    await until('six readings are durable', async () => (await durable()) === 6)
    expect(await metric(agent, 'agent_readings_without_time')).toBe(0)
    meter.stdin!.end()
    expect(await once(meter, 'exit')).toEqual([0, null])
    await waitUntilDrained(cluster)
    await stopTier(cluster, 'cloud')

    const open = openCloudQueries(cluster.cloudStore)
    try {
      const { items } = open.queries.listSummaries({ limit: 100 })
      const sum = (field: 'readings' | 'importWh') => items.reduce((n, row) => n + row[field], 0)
      expect([sum('readings'), sum('importWh')]).toEqual([6, 50])
      expect(items.every(({ start }) => Date.parse(start) >= before - 60_000)).toBe(true)
      const codes = open.queries.listEvents({ limit: 100 }).items.map(({ code }) => code)
      expect(codes).toContain('time-corrected')
    } finally {
      open.close()
    }
  },
)
