/**
 * Real processes that change places in the middle of an outage: meters between two fog nodes, a fog
 * node between two clouds that share nothing, a fog node that gets a new disk. In the end every
 * reading is counted once.
 */
import { mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { openCloudQueries, type Accounting } from '#cloud-store'
import { account, type Account } from '../../apps/demo/account.ts'
import {
  prepareCluster,
  startCluster,
  startOne,
  stopCluster,
  stopTier,
  type Cluster,
  type ClusterPlan,
} from '../../apps/demo/cluster.ts'
import { waitUntilDelivered, waitUntilDrained } from '../../apps/demo/drain.ts'
import { endProcess, waitUntilUp } from '../../apps/demo/processes.ts'
import { scrape, total } from '../../apps/demo/scrape.ts'
import { startFaultProxy, type FaultProxy } from '../support/fault-proxy.ts'
import { groundTruth } from '../support/ground-truth.ts'
import { seededRandom } from '../support/random.ts'
import { chaosOptions, markdownTable, say } from './options.ts'
import { recovery, untilAll } from './recovery.ts'
import { accountingOf } from './two-clouds.ts'

export interface MovesReport extends Account {
  /** How often somebody moved, or got a new disk. */
  moves: number
  /** Readings two nodes had and one let go of. */
  withdrawn: number
  /** Events of the cloud, by code. */
  events: Record<string, number>
}

/** What a scenario works with. */
interface Stage {
  cluster: Cluster
  random: () => number
  /** The way of each fog node's meters to its broker, and of each fog node to the first cloud. */
  meters: Map<string, FaultProxy>
  cloud: Map<string, FaultProxy>
  restart(name: string): Promise<void>
  kill(name: string): Promise<void>
}

interface Scenario {
  about: string
  plan: Partial<ClusterPlan>
  play: (stage: Stage, moves: number) => Promise<number>
}

/** Until the receipts that get lost are many enough: a few blocks of each meter. */
const deafMs = 1_500

const scenarios: Record<string, Scenario> = {
  meters: {
    about: 'meters between two fog nodes, without their last receipts',
    plan: {},
    play: moveMeters,
  },
  clouds: {
    about: 'fog nodes between two clouds, without their last receipts',
    plan: { clouds: 2 },
    play: moveBetweenClouds,
  },
  disk: {
    about: 'a fog node with a new disk; its meters hold what was not receipted',
    plan: {},
    play: replaceDisk,
  },
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
  const accidents: string[] = []
  try {
    await startCluster(cluster, (spec, code) => void accidents.push(`${spec.name} ended: ${code}`))
    let done = 0
    for (const { play } of played) done += await play(stage, moves)
    await waitUntilDelivered(cluster)
    await stopTier(cluster, 'meter', 60_000)
    await waitUntilDrained(cluster)
    await untilLetGo(cluster)
    await waitUntilDrained(cluster)
    await stopCluster(cluster)
    const books = accountingOf(cluster.clouds.map(({ store }) => store))
    const result = account(cluster, books)
    result.problems.push(...accidents, ...(await groundTruth(cluster)))
    return { ...result, moves: done, ...storyOf(cluster, books) }
  } finally {
    await stopCluster(cluster)
    for (const proxy of [...stage.meters.values(), ...stage.cloud.values()]) await proxy.close()
    rmSync(cluster.plan.dir, { recursive: true, force: true })
  }
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

/**
 * A meter's receipts get lost for a while, now and then while its fog node has no way to the cloud
 * either. Then it is killed and finds itself at the other fog node.
 */
async function moveMeters(stage: Stage, moves: number): Promise<number> {
  const { cluster, random } = stage
  for (let move = 0; move < moves; move++) {
    const meter = pick(cluster.meters, random)
    const [from, to] = [meter.fog, meter.fog === 'fog-1' ? 'fog-2' : 'fog-1']
    const spec = cluster.specs.find(({ name }) => name === meter.name)
    if (!spec) throw new Error(`no process ${meter.name}`)
    await recovery(cluster, spec)()
    const offline = random() < 0.5
    if (offline) stage.cloud.get(from)?.cut()
    stage.meters.get(from)?.deafen()
    await wait(deafMs)
    await stage.kill(meter.name)
    stage.meters.get(from)?.heal()
    const port = stage.meters.get(to)?.port
    const text = readFileSync(spec.config, 'utf8')
      .replace(/^node = .*$/m, `node = "${to}"`)
      .replace(/^url = .*$/m, `url = "mqtt://127.0.0.1:${port}"`)
    writeFileSync(spec.config, text)
    meter.fog = to
    await stage.restart(meter.name)
    await recovery(cluster, spec)()
    // Half of the time the new fog node is the first one the cloud hears from.
    stage.cloud.get(from)?.heal()
  }
  return moves
}

/** Receipts of the cloud in use get lost, then it dies; the fog nodes go on at the other one. */
async function moveBetweenClouds(stage: Stage, moves: number): Promise<number> {
  const { cluster, cloud } = stage
  const parts = { 'cloud-a': ['cloud', 'cloud-broker'], 'cloud-b': ['cloud-b', 'cloud-b-broker'] }
  let inUse: keyof typeof parts = 'cloud-a'
  await untilConnected(cluster)
  for (let move = 0; move < moves; move++) {
    if (inUse === 'cloud-a') for (const proxy of cloud.values()) proxy.deafen()
    await wait(deafMs)
    await Promise.all(parts[inUse].map((name) => stage.kill(name)))
    for (const proxy of cloud.values()) proxy.heal()
    const gone = parts[inUse]
    inUse = inUse === 'cloud-a' ? 'cloud-b' : 'cloud-a'
    await untilConnected(cluster)
    await wait(deafMs)
    // Brokers first: a cloud without one would wait.
    for (const name of gone.toReversed()) await stage.restart(name)
  }
  return moves
}

/**
 * Readings arrive and are counted, and their receipts get lost; then everything the fog node has
 * reaches the cloud, and its disk is replaced. What it had receipted and not forwarded would be
 * lost with it: nobody else has that any more.
 */
async function replaceDisk(stage: Stage, moves: number): Promise<number> {
  const { cluster, meters } = stage
  const fog = cluster.fogs.find(({ name }) => name === 'fog-1')
  const meter = cluster.specs.find(({ name }) => name === 'meter-01')
  if (!fog || !meter) throw new Error('no fog-1 with meter-01')
  const agent = { ...cluster, specs: cluster.specs.filter(({ name }) => name === 'fog-1-agent') }
  for (let move = 0; move < moves; move++) {
    await recovery(cluster, meter)()
    meters.get(fog.name)?.deafen()
    await wait(deafMs)
    meters.get(fog.name)?.cut()
    await waitUntilDrained(agent)
    // Nor could a store that is gone let go of anything.
    await untilLetGo(cluster)
    await waitUntilDrained(agent)
    await stage.kill('fog-1-agent')
    const old = `${fog.store}.${move}`
    for (const end of ['', '-wal', '-shm']) renameIfThere(`${fog.store}${end}`, `${old}${end}`)
    cluster.fogs.push({ ...fog, store: old })
    await stage.restart('fog-1-agent')
    meters.get(fog.name)?.heal()
    await recovery(cluster, meter)()
  }
  return moves
}

function renameIfThere(from: string, to: string): void {
  try {
    renameSync(from, to)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
}

function pick<T>(list: readonly T[], random: () => number): T {
  const found = list[Math.floor(random() * list.length)]
  if (found === undefined) throw new Error('nothing to pick from')
  return found
}

/** Every fog node has been welcomed by a cloud. */
async function untilConnected({ specs }: Cluster): Promise<void> {
  const agents = specs.filter(({ program }) => program === 'agent')
  const connected =
    ({ port }: (typeof agents)[number]) =>
    async () =>
      total([await scrape(port)], 'fogmeter_agent_cloud_connected') === 1
  await untilAll(agents.map(connected), 'fog nodes at a cloud')
}

/** Whoever was asked to let go of readings has. Where there are two clouds, no meter moves. */
async function untilLetGo({ httpPort }: Cluster): Promise<void> {
  const done = async () => {
    const response = await fetch(`http://127.0.0.1:${httpPort}/api/v1/status`)
    return ((await response.json()) as { doubled: number }).doubled === 0
  }
  await untilAll([done], 'readings counted twice')
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
