/**
 * SIGKILLs real processes at seeded random moments while meters replay households, then accounts
 * for every reading, and for the energy to the watt-hour against the household data itself.
 */
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Account } from '../../apps/demo/account.ts'
import { prepareCluster, startOne, type Cluster } from '../../apps/demo/cluster.ts'
import { endProcess, waitUntilUp, type ProcessSpec } from '../../apps/demo/processes.ts'
import { seededRandom } from '../support/random.ts'
import { accountWithTruth, runCampaign, type OnAccident } from './campaign.ts'
import { chaosOptions, markdownTable, percentile, say } from './options.ts'
import { fogOf, kindOf, kinds, recovery, type Kind } from './recovery.ts'

export interface KillReport extends Account {
  /** Milliseconds from each SIGKILL until receipts came again, by what was killed. */
  recoveryMs: Record<Kind, number[]>
}

interface KillOptions {
  kills: number
  seed: number
  meters?: number
  onKill?: (done: number, name: string) => void
}

/** Two of one lane die together this often. */
const togetherShare = 0.4
/** A new process gets at most this long to work again before the next one dies. */
const longestPauseMs = 400

export async function killCampaign(options: KillOptions): Promise<KillReport> {
  const cluster = await prepareCluster({
    dir: mkdtempSync(join(tmpdir(), 'fogmeter-kill-')),
    fogs: 2,
    meters: options.meters ?? 4,
    // A minute every tenth of a second: a kill costs a meter minutes of readings, never energy.
    source: 'kind = "replay"\nhouse = {index}\ninterval_seconds = 60\ntime_scale = 600',
    block: 'readings = 4\nseconds = 60',
    window: 'seconds = 300\nidle_seconds = 3\nrevision_delay_ms = 500',
  })
  const { played, result } = await runCampaign(cluster, {
    play: (onAccident) => killAll(cluster, options, onAccident),
    judge: () => accountWithTruth(cluster),
  })
  return { ...result, recoveryMs: played }
}

/**
 * Who dies is drawn beforehand, each kind equally often; then every fog node and the cloud have a
 * lane of their own, in which the next one dies as soon as the one before works again. So one of
 * each may be dead at any moment, and now and then two of one lane die together.
 */
async function killAll(
  cluster: Cluster,
  options: KillOptions,
  onAccident: OnAccident,
): Promise<KillReport['recoveryMs']> {
  const random = seededRandom(options.seed)
  const lanes = new Map<string | null, ProcessSpec[]>()
  for (const victim of victims(cluster, options.kills, random)) {
    const lane = fogOf(cluster, victim)
    lanes.set(lane, [...(lanes.get(lane) ?? []), victim])
  }
  const recoveryMs = Object.fromEntries(kinds.map((kind) => [kind, [] as number[]]))
  let done = 0
  const killOne = async (victim: ProcessSpec): Promise<void> => {
    const ms = await kill(cluster, victim, onAccident)
    recoveryMs[kindOf(victim)]?.push(ms)
    options.onKill?.(++done, `${victim.name} ${ms} ms`)
  }
  await Promise.all(
    [...lanes.values()].map((lane, index) =>
      playLane(lane, killOne, seededRandom(options.seed + index)),
    ),
  )
  return recoveryMs as KillReport['recoveryMs']
}

async function playLane(
  lane: ProcessSpec[],
  killOne: (victim: ProcessSpec) => Promise<void>,
  random: () => number,
): Promise<void> {
  while (lane.length > 0) {
    const next = lane[1]
    const together = next !== undefined && next !== lane[0] && random() < togetherShare
    await new Promise((resolve) => setTimeout(resolve, random() * longestPauseMs)) // the moment
    await Promise.all(lane.splice(0, together ? 2 : 1).map(killOne))
  }
}

function victims(cluster: Cluster, count: number, random: () => number): ProcessSpec[] {
  const chosen: ProcessSpec[] = []
  while (chosen.length < count) {
    for (const kind of shuffled(kinds, random)) {
      const candidates = cluster.specs.filter((spec) => kindOf(spec) === kind)
      const victim = candidates[Math.floor(random() * candidates.length)]
      if (!victim) throw new Error(`no process of kind ${kind}`)
      chosen.push(victim)
    }
  }
  return chosen.slice(0, count)
}

/** Kills and starts again; returns how long it took until receipts came again. */
async function kill(
  cluster: Cluster,
  victim: ProcessSpec,
  onAccident: OnAccident,
): Promise<number> {
  const running = cluster.running.get(victim.name)
  if (!running) throw new Error(`${victim.name} does not run`)
  await endProcess(running, 'SIGKILL')
  const killedAt = performance.now()
  const recovered = recovery(cluster, victim)
  await waitUntilUp(startOne(cluster, victim, onAccident))
  await recovered()
  return Math.round(performance.now() - killedAt)
}

function shuffled<T>(values: readonly T[], random: () => number): T[] {
  return values
    .map((value) => ({ value, at: random() }))
    .toSorted((a, b) => a.at - b.at)
    .map(({ value }) => value)
}

const usage = `usage: npm run chaos -- kill [options]

  --kills N      SIGKILLs in all, 100
  --seeds N      spread over this many runs with seeds one after the other, 1
  --meters N     meters of each run, 4
  --seed N       the first seed
  --json         one line of JSON instead of Markdown
`

/** `npm run chaos -- kill`. */
export async function run(args: string[]): Promise<number> {
  const { options, code } = chaosOptions(args, usage, { kills: 100, seeds: 1, meters: 4 })
  if (options === null) return code
  const { kills = 100, seeds = 1, meters = 4 } = options.numbers
  const reports: (KillReport & { seed: number; kills: number; seconds: number })[] = []
  for (let index = 0; index < seeds; index++) {
    const seed = options.seed + index
    const share = Math.floor((kills * (index + 1)) / seeds) - Math.floor((kills * index) / seeds)
    const started = performance.now()
    const onKill = (done: number, what: string) => say(`seed ${seed}: ${done}/${share} ${what}`)
    const report = await killCampaign({ kills: share, seed, meters, onKill })
    const seconds = Math.round((performance.now() - started) / 1_000)
    for (const problem of report.problems) say(`seed ${seed}: ${problem}`)
    reports.push({ ...report, seed, kills: share, seconds })
  }
  const out = options.json ? `${JSON.stringify(reports)}\n` : toMarkdown(reports)
  process.stdout.write(out)
  return reports.every(({ problems }) => problems.length === 0) ? 0 : 1
}

function toMarkdown(
  reports: (KillReport & { seed: number; kills: number; seconds: number })[],
): string {
  const head = ['seed', 'SIGKILLs', 'readings sent', 'counted', 'lost', 'twice', 'other problems']
  const runs = reports.map((r) => {
    const { seed, kills, sent, accounted, lost, duplicated, problems } = r
    return [seed, kills, sent, accounted, lost, duplicated, problems.length]
  })
  const times = kinds.map((kind) => {
    const all = reports.flatMap(({ recoveryMs }) => recoveryMs[kind])
    const at = (share: number) => percentile(all, share)
    return [kind, all.length, at(0.5), at(0.99), at(1)]
  })
  const titles = ['killed', 'times', 'receipts again after, p50 ms', 'p99 ms', 'longest ms']
  return `${markdownTable(head, runs)}\n${markdownTable(titles, times)}`
}
