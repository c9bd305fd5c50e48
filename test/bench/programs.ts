/** The real programs of a fog node as processes of their own. */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { nodeFlags } from '#service'
import { node, writeFogIdentity } from './people.ts'
import { freePorts } from '../../apps/demo/ports.ts'

const cli = fileURLToPath(new URL('../../apps/cli/main.ts', import.meta.url))

export interface Program {
  readonly pid: number
  /** One value of /metrics, by its full name. */
  metric(name: string): Promise<number>
  stop(): Promise<void>
}

/** A fog node: broker and agent, as a person would start them. */
export interface FogNode {
  readonly port: number
  readonly socket: string
  readonly broker: Program
  readonly agent: Program | null
  stop(): Promise<void>
}

export interface FogNodeOptions {
  dir: string
  /** Without it there is only the broker. */
  agent?: { commitIntervalMs?: number; workers?: number }
  /** Folder for CPU profiles of both programs, written when they end. */
  profile?: string | undefined
}

/** One loopback address carries the whole fleet, at many times the pace of real meters. */
const limits = [
  '[limits]',
  'connections_per_address = 10000',
  'packets_per_second = 1000000',
  'bytes_per_second = 1000000000',
]

export async function startFogNode(options: FogNodeOptions): Promise<FogNode> {
  const { dir } = options
  mkdirSync(dir, { recursive: true })
  const [port = 0, brokerMetrics = 0, agentMetrics = 0] = await freePorts(3)
  const socket = join(dir, 'b.sock')
  const flags = options.profile ? ['--cpu-prof', `--cpu-prof-dir=${options.profile}`] : []
  const start = (name: 'broker' | 'agent', metricsPort: number, lines: string[]) => {
    const config = join(dir, `${name}.toml`)
    const metrics = ['[metrics]', `listen = "127.0.0.1:${metricsPort}"`, '']
    writeFileSync(config, [...lines, ...metrics].join('\n'))
    return startProgram(name, config, metricsPort, flags)
  }
  const broker = await start('broker', brokerMetrics, [
    `node = "${node}"`,
    `listen = ["mqtt://127.0.0.1:${port}"]`,
    '[local]',
    `socket = "${socket}"`,
    ...limits,
  ])
  const agent = options.agent
    ? await start('agent', agentMetrics, agentLines(dir, socket, options.agent))
    : null
  return {
    port,
    socket,
    broker,
    agent,
    async stop() {
      await agent?.stop()
      await broker.stop()
    },
  }
}

function agentLines(
  dir: string,
  socket: string,
  { commitIntervalMs, workers }: NonNullable<FogNodeOptions['agent']>,
): string[] {
  return [
    '[broker]',
    `url = "unix://${socket}"`,
    ...writeFogIdentity(dir),
    '[store]',
    `path = "${join(dir, 'fog.db')}"`,
    ...(commitIntervalMs === undefined ? [] : ['[commit]', `interval_ms = ${commitIntervalMs}`]),
    ...(workers === undefined ? [] : ['[verify]', `workers = ${workers}`]),
  ]
}

async function startProgram(
  name: string,
  config: string,
  port: number,
  flags: string[],
): Promise<Program> {
  const logPath = `${config}.log`
  const log = openSync(logPath, 'a')
  const args = [...nodeFlags, ...flags, cli, name, 'run', '--config', config]
  const child = spawn(process.execPath, args, { stdio: ['ignore', log, log] })
  closeSync(log)
  await untilHealthy(child, port, () => `${name}: ${readFileSync(logPath, 'utf8').slice(-2_000)}`)
  return {
    pid: child.pid ?? 0,
    metric: (metric) => readMetric(port, metric),
    async stop() {
      if (child.exitCode !== null || child.signalCode !== null) return
      const ended = once(child, 'exit')
      child.kill('SIGTERM')
      await ended
    },
  }
}

/** Until /healthz answers at all: a broker without an agent says so and is up nevertheless. */
async function untilHealthy(child: ChildProcess, port: number, log: () => string): Promise<void> {
  for (let attempt = 0; attempt < 400; attempt++) {
    if (child.exitCode !== null || child.signalCode !== null) break
    try {
      const response = await fetch(`http://127.0.0.1:${port}/healthz`)
      const text = await response.text()
      if (response.ok || text.includes('subscribed')) return
    } catch {
      // Not listening yet.
    }
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  throw new Error(`did not start: ${log()}`)
}

async function readMetric(port: number, name: string): Promise<number> {
  const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text()
  const line = text.split('\n').find((candidate) => candidate.startsWith(`${name} `))
  if (line === undefined) throw new Error(`no metric ${name}`)
  return Number(line.slice(name.length + 1))
}
