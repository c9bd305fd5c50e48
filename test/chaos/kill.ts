/**
 * SIGKILLs real processes at seeded random moments while meters replay households, then accounts
 * for every reading. `npm run chaos -- kill --kills 1000 --seed 7` runs it at any length.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { account, type Account } from '../../apps/demo/account.ts'
import {
  prepareCluster,
  startCluster,
  startOne,
  stopCluster,
  stopTier,
  type Cluster,
} from '../../apps/demo/cluster.ts'
import { waitUntilDelivered, waitUntilDrained } from '../../apps/demo/drain.ts'
import { endProcess, waitUntilUp, type ProcessSpec } from '../../apps/demo/processes.ts'
import { groundTruth } from '../support/ground-truth.ts'
import { seededRandom } from '../support/random.ts'

export interface KillReport extends Account {
  /** How often each kind of process was killed. */
  kills: Record<string, number>
  /** Milliseconds from each kill to the program answering again, ascending. */
  recoveryMs: number[]
}

interface KillOptions {
  kills: number
  seed: number
  meters?: number
  onKill?: (done: number, name: string) => void
}

/** What can die. Each round kills one of every kind, in an order the seed decides. */
const kinds = ['meter', 'fog-broker', 'agent', 'cloud-broker', 'cloud'] as const

export async function killCampaign(options: KillOptions): Promise<KillReport> {
  const dir = mkdtempSync(join(tmpdir(), 'fogmeter-kill-'))
  const random = seededRandom(options.seed)
  const accidents: string[] = []
  const onAccident = ({ name }: ProcessSpec, code: number | null) =>
    void accidents.push(`${name} ended by itself (exit code ${code})`)
  const cluster = await prepareCluster({
    dir,
    fogs: 2,
    meters: options.meters ?? 4,
    // A minute every tenth of a second: a kill costs a meter minutes of readings, never energy.
    source: 'kind = "replay"\nhouse = {index}\ninterval_seconds = 60\ntime_scale = 600',
    block: 'readings = 16\nseconds = 60',
    window: 'idle_seconds = 3\nrevision_delay_ms = 500',
  })
  try {
    await startCluster(cluster, onAccident)
    const { kills, recoveryMs } = await killAll(cluster, options, random, onAccident)
    // Back-off after the last kill may outlast a meter's patience when it is told to stop.
    await waitUntilDelivered(cluster)
    await stopTier(cluster, 'meter', 60_000)
    await waitUntilDrained(cluster)
    await stopCluster(cluster)
    const result = account(cluster)
    result.problems.push(...accidents, ...(await groundTruth(cluster)))
    return { ...result, kills, recoveryMs: recoveryMs.toSorted((a, b) => a - b) }
  } finally {
    await stopCluster(cluster)
    rmSync(dir, { recursive: true, force: true })
  }
}

async function killAll(
  cluster: Cluster,
  options: KillOptions,
  random: () => number,
  onAccident: (spec: ProcessSpec, code: number | null) => void,
): Promise<Pick<KillReport, 'kills' | 'recoveryMs'>> {
  const kills: Record<string, number> = {}
  const recoveryMs: number[] = []
  let round: string[] = []
  for (let done = 1; done <= options.kills; done++) {
    if (round.length === 0) round = shuffled(kinds, random)
    const kind = round.pop() ?? 'meter'
    const candidates = cluster.specs.filter((spec) => kindOf(spec) === kind)
    const spec = candidates[Math.floor(random() * candidates.length)]
    const victim = spec && cluster.running.get(spec.name)
    if (!spec || !victim) throw new Error(`no process of kind ${kind}`)
    await new Promise((resolve) => setTimeout(resolve, 50 + random() * 700)) // the random moment
    await endProcess(victim, 'SIGKILL')
    const killedAt = performance.now()
    await waitUntilUp(startOne(cluster, spec, onAccident))
    recoveryMs.push(Math.round(performance.now() - killedAt))
    kills[kind] = (kills[kind] ?? 0) + 1
    options.onKill?.(done, spec.name)
  }
  return { kills, recoveryMs }
}

function progress(done: number, name: string): void {
  process.stderr.write(`${done} ${name}\n`)
}

function kindOf({ name, program }: ProcessSpec): string {
  if (program !== 'broker') return program
  return name === 'cloud-broker' ? name : 'fog-broker'
}

function shuffled<T>(values: readonly T[], random: () => number): T[] {
  return values
    .map((value) => ({ value, at: random() }))
    .toSorted((a, b) => a.at - b.at)
    .map(({ value }) => value)
}

/** `npm run chaos -- kill`. */
export async function run(args: string[]): Promise<number> {
  const { values } = parseArgs({
    args,
    options: { kills: { type: 'string' }, seed: { type: 'string' }, json: { type: 'boolean' } },
  })
  const kills = Number(values.kills ?? 100)
  const seed = Number(values.seed ?? Math.floor(Math.random() * 2 ** 31))
  process.stderr.write(`seed ${seed}, ${kills} kills\n`)
  const report = await killCampaign({ kills, seed, onKill: progress })
  const { recoveryMs, ...rest } = report
  const at = (share: number) => recoveryMs[Math.floor((recoveryMs.length - 1) * share)]
  process.stdout.write(`${JSON.stringify({ seed, ...rest, p50Ms: at(0.5), p99Ms: at(0.99) })}\n`)
  return report.problems.length === 0 ? 0 : 1
}
