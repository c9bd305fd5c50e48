import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { openSync, closeSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { CodedError } from '#errors'
import { nodeFlags } from '#service'

const cli = fileURLToPath(new URL('../cli/main.ts', import.meta.url))

/** One Fogmeter program as it runs in the demo and in the end-to-end tests. */
export interface ProcessSpec {
  /** Unique in its cluster, e.g. `fog-1-agent`; also the name of its log file. */
  name: string
  program: 'broker' | 'agent' | 'cloud' | 'meter'
  config: string
  /** For a meter: how long it measures; then it delivers what it holds and ends, which is no accident. */
  stopAfterSeconds?: number
  /** Port of its metrics listener on loopback, where /healthz and /status answer. */
  port: number
  log: string
}

/** A program that was started. `child` is replaced when it is started again. */
export interface RunningProcess {
  spec: ProcessSpec
  child: ChildProcess
  /** Set while somebody wants it to end, so that an exit then is no accident. */
  ending: boolean
}

/** Starts a program; its standard error goes to its log file. */
export function startProcess(
  spec: ProcessSpec,
  onAccident: (spec: ProcessSpec, code: number | null) => void,
): RunningProcess {
  const log = openSync(spec.log, 'a', 0o600)
  const { program, config, stopAfterSeconds } = spec
  const more = stopAfterSeconds === undefined ? [] : ['--stop-after', String(stopAfterSeconds)]
  const args = [...nodeFlags, cli, program, 'run', '--config', config, ...more]
  const child = spawn(process.execPath, args, {
    // A group of its own: Ctrl-C reaches us alone, and we stop the others in order.
    detached: true,
    // The channel carries nothing. Its end tells the program that we are gone, even by SIGKILL.
    stdio: ['ignore', log, log, 'ipc'],
  })
  closeSync(log)
  const running: RunningProcess = { spec, child, ending: false }
  child.once('exit', (code) => {
    if (!running.ending && !isFinished(running)) onAccident(spec, code)
  })
  return running
}

function isFinished({ spec, child }: RunningProcess): boolean {
  return spec.stopAfterSeconds !== undefined && child.exitCode === 0
}

/** Waits until the program has ended by itself, well or not. */
export async function ended({ child }: RunningProcess): Promise<void> {
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
}

/** Sends `signal` and waits for the end; SIGKILL after `boundMs`. Returns the exit code. */
export async function endProcess(
  running: RunningProcess,
  signal: 'SIGTERM' | 'SIGKILL',
  boundMs = 30_000,
): Promise<number | null> {
  const { child } = running
  running.ending = true
  if (child.exitCode !== null || child.signalCode !== null) return child.exitCode
  const exited = once(child, 'exit')
  child.kill(signal)
  const timer = setTimeout(() => child.kill('SIGKILL'), boundMs)
  await exited
  clearTimeout(timer)
  return child.exitCode
}

/** The JSON a program shows on its metrics listener, or null while it does not answer. */
export async function fetchJson(port: number, path: string): Promise<unknown> {
  try {
    const response = await fetch(`http://127.0.0.1:${port}${path}`, {
      signal: AbortSignal.timeout(2_000),
    })
    return response.ok ? await response.json() : null
  } catch {
    return null
  }
}

/**
 * Waits until the program answers on /healthz, well or not, however long a busy machine takes;
 * throws when it ends before.
 */
export async function waitUntilUp(running: RunningProcess): Promise<void> {
  const { child, spec } = running
  while (child.exitCode === null && child.signalCode === null) {
    try {
      await fetch(`http://127.0.0.1:${spec.port}/healthz`, { signal: AbortSignal.timeout(10_000) })
      return
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  }
  if (isFinished(running)) return
  throw new CodedError('demo/not-started', `${spec.name} did not start; its log is ${spec.log}`)
}
