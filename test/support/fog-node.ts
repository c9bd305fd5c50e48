import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { nodeCrypto } from '#crypto-node'
import { createTrust } from '#credential'
import { readJournal, type JournalEntry } from '#fog-store'
import { createAuthority, enrol, loadIdentity } from '#identity'
import { createMeter, meterDefaults, type Measurement } from '#meter'
import { openMeterStore } from '#meter-store'
import { runInitiator } from '#mqtt-link'
import { systemClock, systemRandom } from '#service'
import { createUnit } from '../../apps/meter/unit.ts'

const cli = join(import.meta.dirname, '../../apps/cli/main.ts')

/** A Fogmeter program as a real process. */
export interface Program {
  child: ChildProcess
  /** Fields of the `listening` log line. */
  listening: Record<string, unknown>
  log(): string
  /** Resolves with the exit code, null after a signal. */
  end(signal: 'SIGTERM' | 'SIGKILL'): Promise<number | null>
}

/** Starts a program and waits for its `listening` line; throws with its log when it ends before. */
export async function startProgram(name: string, config: string): Promise<Program> {
  const child = spawn(process.execPath, [cli, name, 'run', '--config', config])
  child.stdout.resume()
  let log = ''
  const listening = await new Promise<Record<string, unknown>>((resolve, reject) => {
    child.once('exit', (code) => reject(new Error(`${name} ended with ${String(code)}: ${log}`)))
    child.stderr.on('data', (chunk: Buffer) => {
      log += chunk.toString()
      const line = log.split('\n').find((text) => text.includes('"event":"listening"'))
      if (line !== undefined) resolve(JSON.parse(line) as Record<string, unknown>)
    })
  })
  return {
    child,
    listening,
    log: () => log,
    end: async (signal) => {
      if (child.exitCode !== null || child.signalCode !== null) return child.exitCode
      const exited = once(child, 'exit')
      child.kill(signal)
      const [code] = (await exited) as [number | null]
      return code
    },
  }
}

/** A real fog node in a folder of its own: broker and agent as processes. */
export async function startFogNode(options: { settings?: string[] } = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'fogmeter-node-'))
  const authority = join(folder, 'authority')
  createAuthority(authority)
  const fog = enrol(authority, 'fog', 'fog-1')
  mkdirSync(join(folder, 'run'))
  const socket = join(folder, 'run/broker.sock')
  const brokerConfig = join(folder, 'broker.toml')
  writeFileSync(
    brokerConfig,
    `node = "fog-1"\nlisten = ["mqtt://127.0.0.1:0"]\n[local]\nsocket = "${socket}"\n`,
  )
  const agentConfig = join(folder, 'agent.toml')
  const identity = [
    `key = "${fog.key}"`,
    `credential = "${fog.credential}"`,
    `authority = "${fog.authority}"`,
    `revocations = "${join(authority, 'revoked.cose')}"`,
  ]
  const lines = [
    `[broker]\nurl = "unix://${socket}"`,
    `[identity]\n${identity.join('\n')}`,
    '[store]\npath = "fog.db"',
    '[metrics]\nlisten = "127.0.0.1:0"',
    ...(options.settings ?? []),
  ]
  writeFileSync(agentConfig, lines.join('\n'))
  const broker = await startProgram('broker', brokerConfig)
  const [port = 0] = broker.listening['ports'] as number[]
  const programs: Program[] = [broker]
  return {
    folder,
    authority,
    store: join(folder, 'fog.db'),
    broker,
    port,
    startAgent: async () => {
      const agent = await startProgram('agent', agentConfig)
      programs.push(agent)
      return agent
    },
    journal: (): JournalEntry[] => {
      const entries: JournalEntry[] = []
      readJournal(join(folder, 'fog.db'), nodeCrypto, (entry) => void entries.push(entry))
      return entries
    },
    close: async () => {
      for (const program of programs.toReversed()) await program.end('SIGKILL')
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

export type FogNode = Awaited<ReturnType<typeof startFogNode>>

/** A real meter in this process: signed blocks in a file, a session over the real broker. */
export function startTestMeter(node: FogNode, name: string, mode: 'live' | 'block') {
  const files = enrol(node.authority, 'meter', name)
  const identity = loadIdentity({ ...files, key: files.key ?? '' })
  const key = nodeCrypto.signingKey(identity.signingSecret)
  const store = openMeterStore(join(node.folder, `${name}.db`))
  const waiting = new Set<() => void>()
  const meter = createMeter({
    crypto: nodeCrypto,
    key,
    deviceId: name,
    clock: systemClock,
    store: store.meter(name),
    settings: { ...meterDefaults, mode, maxReadings: 4, resendAfterMs: 1_000 },
  })
  const unit = createUnit(meter)
  const changed = () => {
    for (const check of waiting) check()
  }
  const closed: string[] = []
  unit.link = runInitiator({
    url: `mqtt://127.0.0.1:${node.port}`,
    node: 'fog-1',
    crypto: nodeCrypto,
    random: systemRandom,
    clock: systemClock,
    own: { credential: identity.credential, key },
    trust: createTrust({
      crypto: nodeCrypto,
      authorityKey: identity.authorityKey,
      now: () => null,
    }),
    peerRole: 'fog',
    backoff: { firstMs: 20, maxMs: 200 },
    onOpen: (_peer, rekey) => {
      if (!rekey) unit.onOpen()
    },
    onMessage: (payload) => {
      unit.send(meter.onMessage(payload))
      changed()
    },
    onDrain: () => unit.onDrain(),
    onClosed: (code) => {
      closed.push(code)
      unit.onClosed()
      changed()
    },
  })
  const timer = setInterval(() => unit.send(meter.tick()), 100)
  return {
    name,
    meter,
    closed,
    measure: (measurement: Measurement) => unit.send(meter.measure(measurement)),
    closeBlock: () => unit.send(meter.closeBlock()),
    /** Resolves when `condition` holds after some message or ending; rejects after `boundMs`. */
    until: (condition: () => boolean, boundMs = 30_000): Promise<void> =>
      new Promise((resolve, reject) => {
        const bound = setTimeout(() => {
          waiting.delete(check)
          reject(new Error(`${name} waited in vain: ${JSON.stringify(meter.status())}`))
        }, boundMs)
        function check(): void {
          if (!condition()) return
          waiting.delete(check)
          clearTimeout(bound)
          resolve()
        }
        waiting.add(check)
        check()
      }),
    close: async () => {
      clearInterval(timer)
      await unit.link?.close()
      store.close()
    },
  }
}

export type TestMeter = ReturnType<typeof startTestMeter>
