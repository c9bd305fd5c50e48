/**
 * Real processes that change places in the middle of an outage: meters between two fog nodes, a fog
 * node between two clouds that share nothing, a fog node that gets a new disk. In the end every
 * reading is counted once.
 */
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openCloudQueries, type Accounting } from '#cloud-store'
import type { Account } from '../../apps/demo/account.ts'
import {
  prepareCluster,
  startOne,
  type Cluster,
  type ClusterPlan,
} from '../../apps/demo/cluster.ts'
import { waitUntilDrained } from '../../apps/demo/drain.ts'
import { endProcess, waitUntilUp } from '../../apps/demo/processes.ts'
import { startFaultProxy, type FaultProxy } from '../support/fault-proxy.ts'
import { seededRandom } from '../support/random.ts'
import { accountWithTruth, runCampaign } from './campaign.ts'
import { scenarios, untilLetGo, type Stage } from './move-scenarios.ts'
import { chaosOptions, markdownTable, say } from './options.ts'
import { accountingOf } from './two-clouds.ts'

export interface MovesReport extends Account {
  /** How often somebody moved, or got a new disk. */
  moves: number
  /** Readings two nodes had and one let go of. */
  withdrawn: number
  /** Events of the cloud, by code. */
  events: Record<string, number>
}

/** Plays scenarios one after the other on one stage, each with so many moves. */
export async function movesCampaign(
  names: readonly string[],
  { seed, moves }: { seed: number; moves: number },
): Promise<MovesReport> {
  const played = names.map((name) => {
    const found = scenarios[name]
    if (!found) throw new Error(`no scenario ${name}`)
    return found
  })
  const stage = await setStage(seed, Object.assign({}, ...played.map(({ plan }) => plan)))
  const { cluster } = stage
  const { played: done, result } = await runCampaign(cluster, {
    async play() {
      let count = 0
      for (const { play } of played) count += await play(stage, moves)
      return count
    },
    async settle() {
      await untilLetGo(cluster)
      await waitUntilDrained(cluster)
    },
    async judge() {
      const books = accountingOf(cluster.clouds.map(({ store }) => store))
      return { ...(await accountWithTruth(cluster, books)), ...storyOf(cluster, books) }
    },
    async close() {
      for (const proxy of [...stage.meters.values(), ...stage.cloud.values()]) await proxy.close()
    },
  })
  return { ...result, moves: done }
}

async function setStage(seed: number, plan: Partial<ClusterPlan>): Promise<Stage> {
  const dir = mkdtempSync(join(tmpdir(), 'fogmeter-moves-'))
  const ports = new Map<string, number>()
  const meters = new Map<string, FaultProxy>()
  const cloud = new Map<string, FaultProxy>()
  for (const fog of ['fog-1', 'fog-2']) {
    const to = (way: string) => () => ports.get(`${way} ${fog}`) ?? 0
    meters.set(fog, await startFaultProxy({ target: to('meters'), seed }))
    cloud.set(fog, await startFaultProxy({ target: to('cloud'), seed }))
  }
  const through = (way: string, proxies: Map<string, FaultProxy>, port: number, fog: string) => {
    ports.set(`${way} ${fog}`, port)
    return `mqtt://127.0.0.1:${proxies.get(fog)?.port}`
  }
  const cluster = await prepareCluster({
    dir,
    fogs: 2,
    meters: 4,
    source: 'kind = "replay"\nhouse = {index}\ninterval_seconds = 60\ntime_scale = 600',
    block: 'readings = 4\nseconds = 60',
    window: 'seconds = 300\nidle_seconds = 3\nrevision_delay_ms = 500',
    brokerUrl: (port, fog) => through('meters', meters, port, fog),
    cloudUrl: (port, fog, node) =>
      node === 'cloud-a' ? through('cloud', cloud, port, fog) : `mqtt://127.0.0.1:${port}`,
    ...plan,
  })
  const running = (name: string) => {
    const found = cluster.running.get(name)
    if (!found) throw new Error(`${name} does not run`)
    return found
  }
  return {
    cluster,
    random: seededRandom(seed),
    meters,
    cloud,
    kill: async (name) => void (await endProcess(running(name), 'SIGKILL')),
    restart: (name) =>
      waitUntilUp(
        startOne(cluster, running(name).spec, (spec, code) => {
          throw new Error(`${spec.name} ended by itself (exit code ${code})`)
        }),
      ),
  }
}

function storyOf(
  { clouds }: Cluster,
  books: Accounting,
): Pick<MovesReport, 'withdrawn' | 'events'> {
  const events: Record<string, number> = {}
  for (const { store } of clouds) {
    const { queries, close } = openCloudQueries(store)
    for (const { code } of queries.listEvents({ limit: 1_000 }).items)
      events[code] = (events[code] ?? 0) + 1
    close()
  }
  const numbers = books.withdrawn.map(({ first, through }) => through - first + 1)
  return { withdrawn: numbers.reduce((sum, count) => sum + count, 0), events }
}

const usage = `usage: npm run chaos -- moves [options]

  --moves N      moves of each kind, 10
  --seed N       who moves when
  --json         one line of JSON instead of Markdown

${Object.entries(scenarios)
  .map(([name, { about }]) => `  ${name.padEnd(8)} ${about}`)
  .join('\n')}
`

/** `npm run chaos -- moves`. */
export async function run(args: string[]): Promise<number> {
  const { options, code } = chaosOptions(args, usage, { moves: 10 })
  if (options === null) return code
  const { seed, numbers } = options
  const reports: (MovesReport & { name: string })[] = []
  for (const name of Object.keys(scenarios)) {
    const report = await movesCampaign([name], { seed, moves: numbers['moves'] ?? 10 })
    for (const problem of report.problems) say(`${name}: ${problem}`)
    say(`${name}: ${report.moves} moves, ${report.accounted} of ${report.sent} readings counted`)
    reports.push({ name, ...report })
  }
  const out = options.json ? `${JSON.stringify({ seed, reports })}\n` : toMarkdown(seed, reports)
  process.stdout.write(out)
  return reports.every(({ problems }) => problems.length === 0) ? 0 : 1
}

function toMarkdown(seed: number, reports: readonly (MovesReport & { name: string })[]): string {
  const head = ['moves', 'seed', 'times', 'readings sent', 'counted', 'let go of', 'lost', 'twice']
  const rows = reports.map((r) => {
    const { moves, sent, accounted, withdrawn, lost, duplicated, problems } = r
    return [r.name, seed, moves, sent, accounted, withdrawn, lost, duplicated, problems.length]
  })
  return markdownTable([...head, 'other problems'], rows)
}
