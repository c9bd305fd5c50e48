import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import { setTimeout as wait } from 'node:timers/promises'
import type { Cluster, ClusterPlan } from '../../apps/demo/cluster.ts'
import { waitUntilDrained } from '../../apps/demo/drain.ts'
import { scrape, total } from '../../apps/demo/scrape.ts'
import type { FaultProxy } from '../support/fault-proxy.ts'
import { recovery, untilAll } from './recovery.ts'

/** What a scenario works with. */
export interface Stage {
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

export const scenarios: Record<string, Scenario> = {
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
export async function untilLetGo({ httpPort }: Cluster): Promise<void> {
  const done = async () => {
    const response = await fetch(`http://127.0.0.1:${httpPort}/api/v1/status`)
    return ((await response.json()) as { doubled: number }).doubled === 0
  }
  await untilAll([done], 'readings counted twice')
}
