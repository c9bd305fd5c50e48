/**
 * A fog node from the image, in the middle of a real cloud and real meters on this machine: it is fed,
 * its plug is pulled mid-load, it comes back, and every reading is accounted for.
 */
import { setTimeout as pause } from 'node:timers/promises'
import { openCloudQueries } from '#cloud-store'
import { account, meterStatus, type Account } from '../../apps/demo/account.ts'
import { prepareCluster, startOne, stopCluster, stopTier } from '../../apps/demo/cluster.ts'
import type { Cluster } from '../../apps/demo/cluster.ts'
import { waitUntilDelivered } from '../../apps/demo/drain.ts'
import { freePorts } from '../../apps/demo/ports.ts'
import { waitUntilUp, type ProcessSpec } from '../../apps/demo/processes.ts'
import { groundTruth } from '../support/ground-truth.ts'
import { makeCard, type Card } from './card.ts'
import { startGuest, type Guest, type Machine } from './guest.ts'
import { inspect } from './inspect.ts'
import { allowEnrolment, provision } from './provision.ts'

export interface ScenarioOptions {
  image: string
  machine: Machine
  dir: string
  /** Draws the moment of the power cut. */
  random: () => number
  lyingDisk: boolean
  /** Cuts the power for good. */
  abort: AbortSignal
  say: (text: string) => void
}

export interface ScenarioReport extends Account {
  machine: Machine
  /** Seconds from power-on until the cloud had more than before. */
  firstS: number
  againS: number
}

const fog = 'fog-1'
const meters = 5
/** Where the guest finds the cloud's broker and its API. */
const cloudAt = '10.0.2.100'

export async function runScenario(options: ScenarioOptions): Promise<ScenarioReport> {
  const { dir, machine, say } = options
  const accidents: string[] = []
  const onAccident = ({ name }: ProcessSpec, code: number | null) =>
    void accidents.push(`${name} ended by itself (exit code ${code})`)
  const [brokerPort = 0] = await freePorts(1)
  const cluster = await prepareCluster({
    dir,
    fogs: 1,
    meters,
    // A minute every half second, a window of fifteen minutes every seven: the guest is an emulated Pi.
    source: 'kind = "replay"\nhouse = {index}\ninterval_seconds = 60\ntime_scale = 120',
    block: 'readings = 4\nseconds = 60',
    window: '',
    brokerUrl: () => `mqtt://127.0.0.1:${brokerPort}`,
  })
  // The fog node is the guest.
  cluster.specs = cluster.specs.filter(({ name }) => !name.startsWith(`${fog}-`))
  allowEnrolment(cluster)
  const start = async (program: ProcessSpec['program']) => {
    const tier = cluster.specs.filter((spec) => spec.program === program)
    await Promise.all(tier.map((spec) => waitUntilUp(startOne(cluster, spec, onAccident))))
  }
  let guest: Guest | null = null
  options.abort.addEventListener('abort', () => void guest?.cutPower())
  try {
    for (const program of ['broker', 'cloud'] as const) await start(program)
    const card = makeCard(options.image, machine, dir)
    const reachable = [
      { at: `${cloudAt}:1884`, port: cluster.cloudBrokerPort },
      { at: `${cloudAt}:8080`, port: cluster.httpPort },
    ]
    provision(card.image, { cluster, fog, cloudAt })
    card.insert()
    // A Pi has no clock of its own: it starts in 1970.
    const clock = machine === 'virt' ? { rtc: '1970-01-02T00:00:00' } : {}
    const powerOn = async (name: string) =>
      startGuest({ ...options, ...card, ...clock, card: card.drive, brokerPort, reachable, name })

    say('power on')
    let since = performance.now()
    guest = await powerOn('first')
    await serving(guest)
    say(`broker and agent are up after ${secondsSince(since)} s`)
    await start('meter')
    await cloudHasMore(cluster, guest, 0)
    const firstS = secondsSince(since)
    say(`${counted(cluster)} readings at the cloud after ${firstS} s`)
    accidents.push(...(await inspect(guest.shell, machine, say)))

    const before = counted(cluster)
    await pause(5_000 + 10_000 * options.random()) // the moment
    await guest.cutPower()
    say(`power cut; ${counted(cluster)} readings are at the cloud`)
    await pause(3_000) // meters go on

    since = performance.now()
    guest = await powerOn('second')
    await cloudHasMore(cluster, guest, Math.max(before, counted(cluster)))
    const againS = secondsSince(since)
    say(`${counted(cluster)} readings at the cloud ${againS} s after power-on`)
    await waitUntilDelivered(cluster)
    await stopTier(cluster, 'meter', 60_000)
    say('the meters are done; waiting until the last window is closed and at the cloud')
    await everythingCounted(cluster, guest)
    await guest.shell.run('systemctl poweroff').catch(() => undefined) // the shell goes with it
    const code = await guest.ended
    if (code !== 0) accidents.push(`QEMU ended with ${code} after the power-off`)
    say('powered off')
    await stopCluster(cluster)
    readStore(card, cluster)
    const result = account(cluster)
    result.problems.push(...accidents, ...(await groundTruth(cluster)))
    return { ...result, machine, firstS, againS }
  } finally {
    await guest?.cutPower()
    await stopCluster(cluster)
  }
}

/** Waits until the node has enrolled and its agent has said that it is ready. */
async function serving({ shell }: Guest): Promise<void> {
  const ask = 'systemctl is-active fogmeter-agent || true'
  while ((await shell.run(ask)) !== 'active') await pause(2_000)
}

function secondsSince(startMs: number): number {
  return Math.round((performance.now() - startMs) / 1_000)
}

function counted({ cloudStore }: Cluster): number {
  const { queries, close } = openCloudQueries(cloudStore)
  try {
    return queries.accounting().fogs.reduce((sum, { readings }) => sum + readings, 0)
  } finally {
    close()
  }
}

/** Waits until the cloud counts more readings than that; throws when the machine ends before. */
async function cloudHasMore(cluster: Cluster, guest: Guest, than: number): Promise<void> {
  await until(guest, () => counted(cluster) > than)
}

/** Every reading the stopped meters numbered is in a summary at the cloud. */
async function everythingCounted(cluster: Cluster, guest: Guest): Promise<void> {
  const sent = cluster.meters
    .map((meter) => meterStatus(cluster, meter).newestNumber)
    .reduce((sum, number) => sum + number, 0)
  await until(guest, () => counted(cluster) >= sent)
}

/** The time limit of the whole bounds it. */
async function until(guest: Guest, done: () => boolean): Promise<void> {
  const state = { ended: false }
  void guest.ended.then(() => (state.ended = true))
  while (!done()) {
    if (state.ended) throw new Error(`the machine ended by itself; its words are in ${guest.log}`)
    await pause(500)
  }
}

/** The agent's store, off the card, to where the account looks for it. */
function readStore(card: Card, { fogs }: Cluster): void {
  for (const { store } of fogs) card.read('/agent/fog.db', store)
}
