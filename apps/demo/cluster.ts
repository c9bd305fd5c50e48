import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createAuthority, enrol } from '#identity'
import { freePorts } from './ports.ts'
import {
  ended,
  endProcess,
  startProcess,
  waitUntilUp,
  type ProcessSpec,
  type RunningProcess,
} from './processes.ts'

/** What to build: one or two clouds, `fogs` fog nodes, and meters spread over them evenly. */
export interface ClusterPlan {
  dir: string
  /** Two clouds share nothing; every fog node knows both. Default 1. */
  clouds?: 1 | 2
  fogs: number
  meters: number
  /** Port of the cloud's HTTP API if it is free. */
  httpPort?: number
  /** TOML text of each part that varies between uses. */
  source: string
  block: string
  window: string
  /** Meters end by themselves after measuring for this long and delivering everything. */
  stopAfterSeconds?: number
  /** URLs under which a fog node reaches the cloud broker, and its meters its own, when something stands between them. */
  cloudUrl?: (port: number, fog: string, cloud: string) => string
  brokerUrl?: (port: number, fog: string) => string
}

export interface Meter {
  name: string
  fog: string
  store: string
}

export interface Fog {
  name: string
  store: string
  /** Of its broker. */
  port: number
}

export interface CloudPart {
  /** Name its credential proves. */
  node: string
  store: string
  brokerPort: number
}

/** Everything a running cluster is made of. Processes start from the cloud down to the meters. */
export interface Cluster {
  plan: ClusterPlan
  httpPort: number
  cloudBrokerPort: number
  cloudStore: string
  /** All clouds; the two fields above are of the first. */
  clouds: CloudPart[]
  fogs: Fog[]
  meters: Meter[]
  specs: ProcessSpec[]
  running: Map<string, RunningProcess>
  /** No tier is started any more. */
  stopping: boolean
}

/** Enrols every device and writes every configuration file below `plan.dir`. */
export async function prepareCluster(plan: ClusterPlan): Promise<Cluster> {
  const { dir } = plan
  for (const folder of ['config', 'state', 'log']) {
    mkdirSync(join(dir, folder), { recursive: true, mode: 0o700 })
  }
  createAuthority(join(dir, 'authority'))
  const fogs = Array.from({ length: plan.fogs }, (_, index) => `fog-${index + 1}`)
  const names = Array.from({ length: plan.meters }, (_, i) => `meter-${pad(i + 1)}`)
  const count = 2 + 1 + plan.fogs * 3 + plan.meters + 1 + ((plan.clouds ?? 1) - 1) * 4
  const [httpPort = 0, ...ports] = await freePorts(count, plan.httpPort)
  const next = () => ports.shift() ?? 0
  const cloudBrokerPort = next()
  const cluster: Cluster = {
    plan,
    httpPort,
    cloudBrokerPort,
    cloudStore: join(dir, 'state/cloud.db'),
    clouds: [],
    fogs: [],
    meters: [],
    specs: [],
    running: new Map(),
    stopping: false,
  }
  addCloud(cluster, { name: 'cloud', node: 'cloud-a', brokerPort: cloudBrokerPort, httpPort }, next)
  if (plan.clouds === 2) {
    const second = { brokerPort: next(), httpPort: next() }
    addCloud(cluster, { name: 'cloud-b', node: 'cloud-b', ...second }, next)
  }
  const fogPorts = fogs.map((name) => {
    const port = next()
    addBroker(cluster, name, `${name}-broker`, port, next())
    addAgent(cluster, name, port, next())
    return port
  })
  names.forEach((name, index) => {
    const fog = index % plan.fogs
    addMeter(cluster, name, index, fogs[fog] ?? '', fogPorts[fog] ?? 0, next())
  })
  return cluster
}

function pad(value: number): string {
  return String(value).padStart(2, '0')
}

function addBroker(cluster: Cluster, node: string, name: string, port: number, metrics: number) {
  const socket = join(cluster.plan.dir, 'state', `${name}.sock`)
  add(cluster, name, 'broker', metrics, [
    `node = "${node}"`,
    `listen = ["mqtt://127.0.0.1:${port}"]`,
    '[local]',
    `socket = "${socket}"`,
  ])
}

function addCloud(
  cluster: Cluster,
  part: { name: string; node: string; brokerPort: number; httpPort: number },
  next: () => number,
) {
  const { dir } = cluster.plan
  const { name, node, brokerPort, httpPort } = part
  const store = join(dir, 'state', `${name}.db`)
  cluster.clouds.push({ node, store, brokerPort })
  addBroker(cluster, node, `${name}-broker`, brokerPort, next())
  add(cluster, name, 'cloud', next(), [
    '[broker]',
    `url = "unix://${join(dir, 'state', `${name}-broker.sock`)}"`,
    ...identity(dir, 'cloud', node),
    '[store]',
    `path = "${store}"`,
    '[http]',
    `listen = "127.0.0.1:${httpPort}"`,
  ])
}

function addAgent(cluster: Cluster, name: string, port: number, metrics: number) {
  const { dir, window, cloudUrl } = cluster.plan
  const store = join(dir, 'state', `${name}.db`)
  cluster.fogs.push({ name, store, port })
  const clouds = cluster.clouds.flatMap(({ node, brokerPort }) => {
    const url = cloudUrl?.(brokerPort, name, node) ?? `mqtt://127.0.0.1:${brokerPort}`
    return ['[[cloud]]', `node = "${node}"`, `url = "${url}"`]
  })
  add(cluster, `${name}-agent`, 'agent', metrics, [
    '[broker]',
    `url = "unix://${join(dir, 'state', `${name}-broker.sock`)}"`,
    ...identity(dir, 'fog', name),
    '[store]',
    `path = "${store}"`,
    '[window]',
    window,
    ...clouds,
  ])
}

function addMeter(
  cluster: Cluster,
  name: string,
  index: number,
  fog: string,
  port: number,
  metrics: number,
) {
  const { dir, source, block, brokerUrl } = cluster.plan
  const store = join(dir, 'state', `${name}.db`)
  cluster.meters.push({ name, fog, store })
  add(cluster, name, 'meter', metrics, [
    `node = "${fog}"`,
    `name = "${name}"`,
    '[broker]',
    `url = "${brokerUrl?.(port, fog) ?? `mqtt://127.0.0.1:${port}`}"`,
    ...identity(dir, 'meter', name),
    '[store]',
    `path = "${store}"`,
    '[block]',
    block,
    '[source]',
    source.replaceAll('{index}', String(index)),
  ])
}

function identity(dir: string, role: 'meter' | 'fog' | 'cloud', name: string): string[] {
  const paths = enrol(join(dir, 'authority'), role, name)
  return [
    '[identity]',
    `key = "${paths.key}"`,
    `credential = "${paths.credential}"`,
    `authority = "${paths.authority}"`,
  ]
}

function add(
  cluster: Cluster,
  name: string,
  program: ProcessSpec['program'],
  port: number,
  lines: string[],
) {
  const { dir, stopAfterSeconds } = cluster.plan
  const config = join(dir, 'config', `${name}.toml`)
  const metrics = ['[metrics]', `listen = "127.0.0.1:${port}"`, '']
  writeFileSync(config, [...lines, ...metrics].join('\n'), { mode: 0o600 })
  const log = join(dir, 'log', `${name}.log`)
  cluster.specs.push({
    name,
    program,
    config,
    port,
    log,
    ...(program === 'meter' && stopAfterSeconds !== undefined && { stopAfterSeconds }),
  })
}

/** Starts every process, tier by tier; each is up when its listener answers. */
export async function startCluster(
  cluster: Cluster,
  onAccident: (spec: ProcessSpec, code: number | null) => void,
  onTier: (started: number) => void = () => {},
): Promise<void> {
  for (const tier of ['broker', 'cloud', 'agent', 'meter']) {
    if (cluster.stopping) return
    const started = cluster.specs
      .filter((spec) => spec.program === tier)
      .map((spec) => startOne(cluster, spec, onAccident))
    await Promise.all(started.map((running) => waitUntilUp(running)))
    onTier(cluster.running.size)
  }
}

/** Starts one process, also again after it ended. */
export function startOne(
  cluster: Cluster,
  spec: ProcessSpec,
  onAccident: (spec: ProcessSpec, code: number | null) => void,
): RunningProcess {
  const running = startProcess(spec, onAccident)
  cluster.running.set(spec.name, running)
  return running
}

/** Waits until every meter has ended by itself, see `ClusterPlan.stopAfterSeconds`. */
export async function metersEnded({ running }: Cluster): Promise<void> {
  const meters = [...running.values()].filter(({ spec }) => spec.program === 'meter')
  await Promise.all(meters.map(ended))
}

/** Stops the processes of one program, all at once. */
export async function stopTier(
  cluster: Cluster,
  program: ProcessSpec['program'],
  boundMs?: number,
): Promise<void> {
  const tier = [...cluster.running.values()].filter(({ spec }) => spec.program === program)
  await Promise.all(tier.map((running) => endProcess(running, 'SIGTERM', boundMs)))
}

/** Stops everything, meters first, brokers last, so that each can still hand on what it has. */
export async function stopCluster(cluster: Cluster): Promise<void> {
  cluster.stopping = true
  await stopTier(cluster, 'meter')
  await stopTier(cluster, 'agent')
  await stopTier(cluster, 'cloud')
  await stopTier(cluster, 'broker')
}
