/**
 * A long time at high load: memory, descriptors, WALs and stores of every program, sampled, with
 * what they rise by in an hour, and whether that has a bound. At the end every reading is accounted.
 */
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { account } from '../../apps/demo/account.ts'
import type { Cluster } from '../../apps/demo/cluster.ts'
import { scrape } from '../../apps/demo/scrape.ts'
import { runCampaign } from './campaign.ts'
import { chaosOptions, say as progress } from './options.ts'
import { prepareFleet } from './soak/fleet.ts'
import { greatest, look, slopePerHour, type Sample } from './soak/samples.ts'

const MIB = 2 ** 20
/** Goals: see `judge`. */
const limits = { walMiB: 64, slopeMiBPerHour: 16, descriptors: 32 } as const
/** What a process takes at its start tells nothing about what it takes in the long run. */
const warmUpShare = 0.25
/** A floor that rises for less than this long is no slope. */
const shortestJudgedMs = 10 * 60_000

interface SoakOptions {
  minutes: number
  meters: number
  rate: number
  onProgress?: (text: string) => void
}

export interface SoakRow {
  program: string
  samples: number
  rssMaxMiB: number
  rssMiBPerHour: number | null
  heapMaxMiB: number
  heapMiBPerHour: number | null
  descriptorsMax: number
  walMaxMiB: number
  storeMiB: number
  storeMiBPerHour: number | null
  /** What has no bound, in words. */
  problems: string[]
}

export interface SoakReport {
  seconds: number
  readings: number
  readingsPerSecond: number
  rows: SoakRow[]
  /** Disagreements between the tiers at the end, and programs that ended by themselves. */
  problems: string[]
}

export async function soak(options: SoakOptions): Promise<SoakReport> {
  const { minutes, meters, rate, onProgress: say = () => undefined } = options
  say(`enrolling ${meters} meters`)
  const dir = mkdtempSync(join(tmpdir(), 'fogmeter-soak-'))
  const cluster = await prepareFleet({ dir, meters, rate })
  const { played: samples, result } = await runCampaign(cluster, {
    async play() {
      await untilConnected(cluster, meters)
      say('running')
      return sampleAll(cluster, minutes * 60_000, say)
    },
    judge: () => account(cluster),
  })
  const { sent, accounted, problems } = result
  if (accounted !== sent) problems.push(`${sent} readings were sent, ${accounted} are accounted`)
  return {
    seconds: minutes * 60,
    readings: sent,
    readingsPerSecond: Math.round(sent / (minutes * 60)),
    rows: [...samples].map(([program, list]) => judge(program, list)),
    problems,
  }
}

/** Connecting takes a while, and every connection is a descriptor. */
async function untilConnected(cluster: Cluster, meters: number): Promise<void> {
  const fleet = cluster.specs.find(({ program }) => program === 'meter')
  for (;;) {
    const series = await scrape(fleet?.port ?? 0)
    if (series?.get('fogmeter_meter_connected') === meters) return
    await new Promise((resolve) => setTimeout(resolve, 200))
  }
}

/** Every program's samples: some 400 in any length of time, at least a second apart. */
async function sampleAll(
  cluster: Cluster,
  forMs: number,
  say: (text: string) => void,
): Promise<Map<string, Sample[]>> {
  const everyMs = Math.max(1_000, forMs / 400)
  const stores = storesOf(cluster)
  const samples = new Map<string, Sample[]>()
  const startMs = performance.now()
  let saidMs = startMs
  while (performance.now() - startMs < forMs) {
    await new Promise((resolve) => setTimeout(resolve, everyMs))
    for (const [name, running] of cluster.running) {
      const sample = await look(running, stores.get(name) ?? null)
      if (sample !== null) samples.set(name, [...(samples.get(name) ?? []), sample])
    }
    if (performance.now() - saidMs < 60_000) continue
    saidMs = performance.now()
    say(`${Math.round((saidMs - startMs) / 60_000)} min: ${glance(samples)}`)
  }
  return samples
}

function storesOf(cluster: Cluster): Map<string, string> {
  const stores = new Map([['cloud', cluster.cloudStore]])
  for (const { name, store } of cluster.fogs) stores.set(`${name}-agent`, store)
  const [meter] = cluster.meters
  if (meter) stores.set('fleet', meter.store)
  return stores
}

function glance(samples: ReadonlyMap<string, readonly Sample[]>): string {
  return [...samples].map(([name, list]) => `${name} ${mib(list.at(-1)?.rss ?? 0)} MiB`).join(', ')
}

/**
 * Bounded: no WAL above 64 MiB; descriptors that stay where they are; memory whose floor does not
 * rise. A store grows with what it keeps, so that is only shown.
 */
function judge(program: string, all: readonly Sample[]): SoakRow {
  const settled = all.slice(Math.floor(all.length * warmUpShare))
  const slope = (what: 'rss' | 'heap' | 'store') => {
    const perHour = slopePerHour(settled, what)
    return perHour === null ? null : mib(perHour)
  }
  const row: SoakRow = {
    program,
    samples: all.length,
    rssMaxMiB: mib(greatest(all, 'rss')),
    rssMiBPerHour: slope('rss'),
    heapMaxMiB: mib(greatest(all, 'heap')),
    heapMiBPerHour: slope('heap'),
    descriptorsMax: greatest(all, 'descriptors'),
    walMaxMiB: mib(greatest(all, 'wal')),
    storeMiB: mib(all.at(-1)?.store ?? 0),
    storeMiBPerHour: slope('store'),
    problems: [],
  }
  row.problems = unbounded(row, settled)
  return row
}

function unbounded(row: SoakRow, settled: readonly Sample[]): string[] {
  const problems: string[] = []
  const { program, walMaxMiB, rssMiBPerHour, heapMiBPerHour } = row
  if (walMaxMiB > limits.walMiB) problems.push(`${program}: its WAL grew to ${walMaxMiB} MiB`)
  const fds = settled.map(({ descriptors }) => descriptors)
  if (Math.max(...fds) - Math.min(...fds) > limits.descriptors)
    problems.push(`${program}: from ${Math.min(...fds)} to ${Math.max(...fds)} descriptors`)
  const judgedMs = (settled.at(-1)?.atMs ?? 0) - (settled[0]?.atMs ?? 0)
  if (judgedMs < shortestJudgedMs) return problems
  for (const [what, perHour] of [
    ['memory', rssMiBPerHour],
    ['heap', heapMiBPerHour],
  ] as const) {
    if (perHour !== null && perHour > limits.slopeMiBPerHour)
      problems.push(`${program}: its ${what} rises by ${perHour} MiB an hour`)
  }
  return problems
}

function mib(bytes: number): number {
  return Math.round((bytes / MIB) * 10) / 10
}

const usage = `usage: npm run chaos -- soak [options]

  --minutes N    how long (default 60); below some 14, slopes are shown but not judged
  --meters N     meters, all in one process (default 500)
  --rate N       readings a second of each meter (default 4)
  --json, --markdown

Exit code 1 when memory, descriptors or a WAL have no bound, or a reading is not accounted for.
`

export async function run(args: string[]): Promise<number> {
  const { options, code } = chaosOptions(args, usage, { minutes: 60, meters: 500, rate: 4 })
  if (options === null) return code
  const { minutes = 0, meters = 0, rate = 0 } = options.numbers
  const report = await soak({
    minutes,
    meters,
    rate,
    onProgress: progress,
  })
  const problems = [...report.rows.flatMap((row) => row.problems), ...report.problems]
  for (const problem of problems) process.stderr.write(`${problem}\n`)
  process.stdout.write(options.json ? `${JSON.stringify(report)}\n` : markdown(report))
  return problems.length === 0 ? 0 : 1
}

function shown(value: number | null): string {
  return value === null ? '' : String(value)
}

function markdown({ seconds, readings, readingsPerSecond, rows }: SoakReport): string {
  const lines = rows.map((row) => {
    const memory = [
      row.rssMaxMiB,
      shown(row.rssMiBPerHour),
      row.heapMaxMiB,
      shown(row.heapMiBPerHour),
    ]
    const disk = [row.walMaxMiB, row.storeMiB, shown(row.storeMiBPerHour)]
    const bounded = row.problems.length === 0 ? 'yes' : 'NO'
    return `| ${[row.program, ...memory, row.descriptorsMax, ...disk, bounded].join(' | ')} |`
  })
  return [
    `${readings} readings in ${seconds} s, ${readingsPerSecond} a second. MiB; slopes are those of the floor, per hour.`,
    '',
    '| program | RSS max | slope | heap max | slope | descriptors | WAL max | store | slope | bounded? |',
    '| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- |',
    ...lines,
    '',
  ].join('\n')
}
