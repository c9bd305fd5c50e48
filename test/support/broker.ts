import { spawn, type ChildProcess } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { createBroker, type Broker, type BrokerLimits, type Rules } from '#broker'
import { systemClock } from '#service'

/** A broker under test, wherever it runs. */
export interface Target {
  port: number
  ports: readonly number[]
  socket: string
  stop(): Promise<void>
}

export interface BrokerProgram extends Target {
  child: ChildProcess
  metricsPort: number
  /** Exit code, once it ends. */
  ended: Promise<number | null>
}

export const NODE = 'fog-1'
const cli = fileURLToPath(new URL('../../apps/cli/main.ts', import.meta.url))

export function temporaryFolder(): string {
  return mkdtempSync(join(tmpdir(), 'fogmeter-broker-'))
}

/** Starts the real program and waits for its `listening` line. */
export async function startProgram(
  options: { limits?: Record<string, number>; more?: string; listen?: string[] } = {},
): Promise<BrokerProgram> {
  const folder = temporaryFolder()
  const config = join(folder, 'broker.toml')
  const limits = Object.entries(options.limits ?? {}).map(([key, value]) => `${key} = ${value}`)
  const listen = JSON.stringify(options.listen ?? ['mqtt://127.0.0.1:0'])
  const text = [`node = "${NODE}"`, `listen = ${listen}`, 'local.socket = "b.sock"']
  const tables = ['[metrics]', 'listen = "127.0.0.1:0"', '[limits]', ...limits]
  writeFileSync(config, [...text, options.more ?? '', ...tables].join('\n'))
  const child = spawn(process.execPath, [cli, 'broker', 'run', '--config', config], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  const ended = once(child, 'close').then(([code]) => code as number | null)
  const ready = await listening(child)
  return {
    ...ready,
    port: ready.ports[0] ?? 0,
    child,
    ended,
    stop: async () => {
      child.kill('SIGTERM')
      await ended
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

interface Ready {
  ports: number[]
  socket: string
  metricsPort: number
}

async function listening(child: ChildProcess): Promise<Ready> {
  const seen: string[] = []
  if (child.stderr === null) throw new Error('no stderr')
  const lines = createInterface({ input: child.stderr })
  for await (const line of lines) {
    seen.push(line)
    const entry = JSON.parse(line) as { event?: string } & Ready
    if (entry.event !== 'listening') continue
    child.stderr.resume()
    return entry
  }
  throw new Error(`the broker did not start:\n${seen.join('\n')}`)
}

/** Starts a broker in this process, e.g. without one of its rules. */
export async function startHere(
  options: { rules?: Rules; limits?: Partial<BrokerLimits> } = {},
): Promise<Target & { broker: Broker }> {
  const folder = temporaryFolder()
  const socket = join(folder, 'b.sock')
  const listen = [{ tls: false, host: '127.0.0.1', port: 0 }]
  const broker = await createBroker({ node: NODE, listen, socket, clock: systemClock, ...options })
  return {
    broker,
    port: broker.ports[0] ?? 0,
    ports: broker.ports,
    socket,
    stop: async () => {
      await broker.close()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

export function newChannelId(): string {
  return randomBytes(6).toString('base64url')
}

export const up = (cid: string): string => `fm/1/${NODE}/up/${cid}`
export const dn = (cid: string): string => `fm/1/${NODE}/dn/${cid}`
export const ctl = (cid: string): string => `fm/1/${NODE}/ctl/${cid}`
