/**
 * Real processes with a network between them that misbehaves: one fog node, its meters and its way
 * to the cloud get every fault in turn, each followed by good times, while another fog node works
 * beside it. In the end every reading is accounted for.
 */
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import type { Account } from '../../apps/demo/account.ts'
import { prepareCluster, type Cluster } from '../../apps/demo/cluster.ts'
import type { ProcessSpec } from '../../apps/demo/processes.ts'
import type { FaultProxy } from '../support/fault-proxy.ts'
import { accountWithTruth, runCampaign } from './campaign.ts'
import { watchDelays, type Delays } from './delays.ts'
import { faults, startLinks, type Links } from './faults.ts'
import { chaosOptions, markdownTable, say } from './options.ts'
import { cloudFog, meterStatus, untilAll } from './recovery.ts'

/** A quarter of an hour every tenth of a second: ten seconds are more than a day. */
const INTERVAL_S = 900
const TIME_SCALE = 9_000

/** The fog node whose links are disturbed, and the one that must not notice. */
const disturbed = 'fog-1'
const other = 'fog-2'

export interface ScenarioReport {
  name: string
  /** How long it lasted, and how many simulated days that is. */
  seconds: number
  days: number
  /** Readings receipted to the disturbed meters while it lasted. */
  meanwhile: number
  /** After healing, until the last reading made under the fault was in the cloud's sums; s. */
  catchUpS: number
  /** Of the undisturbed fog node's meters, meanwhile. */
  others: Delays
  /** Connections and chunks, and what was done to them. */
  counts: Record<string, number>
}

export interface NetworkReport extends Account {
  scenarios: ScenarioReport[]
}

export interface NetworkOptions {
  seed: number
  /** How long each fault lasts. */
  seconds: number
  onScenario?: (report: ScenarioReport) => void
}

export async function networkCampaign(options: NetworkOptions): Promise<NetworkReport> {
  const links = await startLinks(options.seed)
  const between =
    (way: 'meters' | 'cloud') =>
    (port: number, fog: string): string => {
      if (fog === disturbed) links.to[way] = port
      return `mqtt://127.0.0.1:${fog === disturbed ? links[way].port : port}`
    }
  const cluster = await prepareCluster({
    dir: mkdtempSync(join(tmpdir(), 'fogmeter-network-')),
    fogs: 2,
    meters: 4,
    source: `kind = "replay"\nhouse = {index}\ninterval_seconds = ${INTERVAL_S}\ntime_scale = ${TIME_SCALE}`,
    block: 'readings = 4\nseconds = 60\nboundary_seconds = 14400',
    window: 'idle_seconds = 3\nrevision_delay_ms = 500',
    cloudUrl: between('cloud'),
    brokerUrl: between('meters'),
  })
  const { played, result } = await runCampaign(cluster, {
    async play() {
      await caughtUp(cluster)
      return playAll(cluster, links, options)
    },
    judge: () => accountWithTruth(cluster),
    async close() {
      await links.meters.close()
      await links.cloud.close()
    },
  })
  return { ...result, scenarios: played }
}

async function playAll(
  cluster: Cluster,
  links: Links,
  { seed, seconds, onScenario }: NetworkOptions,
): Promise<ScenarioReport[]> {
  const reports: ScenarioReport[] = []
  for (const [name, begin] of Object.entries(faults)) {
    const before = sumCounts(links)
    const delays = watchDelays(cluster, other, TIME_SCALE)
    const started = performance.now()
    const end = await begin(links, seed + reports.length)
    const receipted = await receiptedReadings(cluster)
    await wait(seconds * 1_000)
    const meanwhile = (await receiptedReadings(cluster)) - receipted
    await end()
    const lastedMs = performance.now() - started
    const healed = performance.now()
    await caughtUp(cluster)
    const report: ScenarioReport = {
      name,
      seconds: Math.round(lastedMs / 100) / 10,
      days: Math.round((lastedMs * TIME_SCALE) / 8_640_000) / 10,
      meanwhile,
      catchUpS: Math.round((performance.now() - healed) / 100) / 10,
      others: await delays.stop(),
      counts: difference(sumCounts(links), before),
    }
    reports.push(report)
    onScenario?.(report)
  }
  return reports
}

function disturbedSpecs({ meters, specs }: Cluster): ProcessSpec[] {
  const names = meters.filter(({ fog }) => fog === disturbed).map(({ name }) => name)
  return specs.filter(({ name }) => names.includes(name))
}

async function receiptedReadings(cluster: Cluster): Promise<number> {
  const all = await Promise.all(disturbedSpecs(cluster).map(meterStatus))
  return all.reduce((sum, status) => sum + (status?.receiptedThrough ?? 0), 0)
}

function sumCounts({ meters, cloud }: Links): Record<string, number> {
  const names = Object.keys(meters.counts) as (keyof FaultProxy['counts'])[]
  return Object.fromEntries(names.map((name) => [name, meters.counts[name] + cloud.counts[name]]))
}

function difference(
  after: Record<string, number>,
  before: Record<string, number>,
): Record<string, number> {
  return Object.fromEntries(
    Object.entries(after).map(([name, count]) => [name, count - (before[name] ?? 0)]),
  )
}

/** Every reading made until now by the disturbed fog node's meters is in the cloud's sums. */
async function caughtUp(cluster: Cluster): Promise<void> {
  let untilS = 0
  const waits = disturbedSpecs(cluster).map((spec) => {
    let through: number | null = null
    return async () => {
      const status = await meterStatus(spec)
      if (status === null || status.newestNumber === 0) return false
      if (through === null) untilS = Math.max(untilS, status.newestTimeS)
      through ??= status.newestNumber
      return status.receiptedThrough >= through
    }
  })
  await untilAll(waits, `meters of ${disturbed}`)
  const summedUp = async () => {
    const end = (await cloudFog(cluster, disturbed))?.newestEnd ?? null
    return end !== null && Date.parse(end) / 1_000 >= untilS
  }
  await untilAll([summedUp], `${disturbed} at the cloud`)
}

const usage = `usage: npm run chaos -- network [options]

  --seconds N    how long each fault lasts, 30; ten seconds are a day of the meters' time
  --seed N       of the faults
  --json         one line of JSON instead of Markdown
`

/** `npm run chaos -- network`. */
export async function run(args: string[]): Promise<number> {
  const { options, code } = chaosOptions(args, usage, { seconds: 30 })
  if (options === null) return code
  const report = await networkCampaign({
    seed: options.seed,
    seconds: options.numbers['seconds'] ?? 30,
    onScenario: ({ name, catchUpS }) => say(`${name}: all there ${catchUpS} s after healing`),
  })
  for (const problem of report.problems) say(problem)
  const out = options.json
    ? `${JSON.stringify({ seed: options.seed, ...report })}\n`
    : toMarkdown(options.seed, report)
  process.stdout.write(out)
  return report.problems.length === 0 ? 0 : 1
}

function toMarkdown(seed: number, report: NetworkReport): string {
  const { sent, accounted, lost, duplicated, problems } = report
  const head = ['seed', 'readings sent', 'counted', 'lost', 'twice', 'other problems']
  const totals = [[seed, sent, accounted, lost, duplicated, problems.length]]
  const titles = [
    'fault',
    's',
    'simulated days',
    'receipted meanwhile',
    'all there after, s',
    'others: reading to receipt, p50 ms',
    'p99 ms',
    'others: cloud behind, p50 ms',
    'p99 ms',
  ]
  const rows = report.scenarios.map(({ name, seconds, days, meanwhile, catchUpS, others }) => {
    const { receipt, cloud } = others
    return [
      name,
      seconds,
      days,
      meanwhile,
      catchUpS,
      receipt.p50,
      receipt.p99,
      cloud.p50,
      cloud.p99,
    ]
  })
  return `${markdownTable(head, totals)}\n${markdownTable(titles, rows)}`
}
