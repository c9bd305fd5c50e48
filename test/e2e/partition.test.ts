import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { account } from '../../apps/demo/account.ts'
import {
  prepareCluster,
  startCluster,
  stopCluster,
  stopTier,
  type Cluster,
} from '../../apps/demo/cluster.ts'
import { waitUntilDrained } from '../../apps/demo/drain.ts'
import { scrape, total } from '../../apps/demo/scrape.ts'
import { startFaultProxy } from '../support/fault-proxy.ts'
import { groundTruth } from '../support/ground-truth.ts'

/** One simulated day takes two seconds: quarter-hourly readings at 43,200 times their speed. */
const source = 'kind = "replay"\nhouse = {index}\ninterval_seconds = 900\ntime_scale = 43200'

async function backlog(cluster: Cluster): Promise<number> {
  const agents = cluster.specs.filter(({ program }) => program === 'agent')
  const sources = await Promise.all(agents.map(({ port }) => scrape(port)))
  return total(sources, 'fogmeter_agent_outbox_items')
}

/** Asks again until `enough` holds; the test's own time limit bounds it. */
async function until(enough: () => Promise<boolean>): Promise<void> {
  while (!(await enough())) await new Promise((resolve) => setTimeout(resolve, 100))
}

it('delivers days of backlog exactly once after the fog–cloud link was cut', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'fogmeter-cut-'))
  let brokerPort = 0
  const link = await startFaultProxy({ target: () => brokerPort, seed: 1 })
  const cluster = await prepareCluster({
    dir,
    fogs: 1,
    meters: 2,
    source,
    block: 'readings = 16\nseconds = 60\nboundary_seconds = 14400',
    window: 'idle_seconds = 3\nrevision_delay_ms = 500',
    cloudUrl: () => `mqtt://127.0.0.1:${link.port}`,
  })
  brokerPort = cluster.cloudBrokerPort
  const accidents: string[] = []
  try {
    await startCluster(cluster, ({ name }) => void accidents.push(name))
    await until(async () => (await stored(cluster)) > 0)
    link.cut()
    // A day of windows later, what had crossed before the cut is stored.
    await until(async () => (await backlog(cluster)) >= 96)
    const before = await stored(cluster)
    // Three days are 288 windows of 15 minutes.
    await until(async () => (await backlog(cluster)) >= 288)
    expect(await stored(cluster)).toBe(before)
    link.heal()
    await until(async () => (await stored(cluster)) >= before + 288)
    await stopTier(cluster, 'meter', 60_000)
    await waitUntilDrained(cluster)
    await stopCluster(cluster)
    const result = account(cluster)
    expect([...result.problems, ...(await groundTruth(cluster)), ...accidents]).toEqual([])
    expect(result).toMatchObject({ lost: 0, duplicated: 0, accounted: result.sent })
    expect(result.sent).toBeGreaterThan(2 * 288)
  } finally {
    await stopCluster(cluster)
    await link.close()
    rmSync(dir, { recursive: true, force: true })
  }
}, 180_000)

async function stored({ httpPort }: Cluster): Promise<number> {
  const response = await fetch(`http://127.0.0.1:${httpPort}/api/v1/status`)
  const { summaries } = (await response.json()) as { summaries: number }
  return summaries
}
