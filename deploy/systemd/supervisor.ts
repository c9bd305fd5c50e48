import { spawn, type ChildProcess } from 'node:child_process'
import { constants } from 'node:os'
import { setTimeout as pause } from 'node:timers/promises'
import { openNotifyPipe } from './notify-pipe.ts'
import { prepare } from './surroundings.ts'
import { last, spanMs, words, type Unit } from './unit-file.ts'

/** One program kept running as its unit says. */
export interface Supervisor {
  /** The exit code of its last run, as a shell shows it. */
  ended: Promise<number>
  stop(): void
}

/** `say` hears what happens: ready, aborted by the watchdog, ended. */
export function supervise(unit: Unit, name: string, say: (text: string) => void): Supervisor {
  const span = (key: string, otherwise: string) => spanMs(last(unit, 'Service', key) ?? otherwise)
  const watchdogMs = span('WatchdogSec', '0')
  const startMs = span('TimeoutStartSec', '90')
  const stopMs = span('TimeoutStopSec', '90')
  const restartMs = span('RestartSec', '100ms')
  const always = last(unit, 'Service', 'Restart') === 'always'
  let child: ChildProcess | null = null
  let timer: NodeJS.Timeout | undefined
  const stopped = new AbortController()

  const pipe = openNotifyPipe((line) => {
    if (line.includes('--ready')) say('ready')
    if (stopped.signal.aborted || !/--ready|WATCHDOG=1/.test(line)) return
    clearTimeout(timer)
    if (watchdogMs > 0) abortAfter(watchdogMs, 'watchdog: no sign of life, aborting')
  })

  function abortAfter(ms: number, why: string): void {
    timer = setTimeout(() => {
      say(why)
      end('SIGABRT')
    }, ms)
  }

  function end(signal: 'SIGABRT' | 'SIGTERM'): void {
    clearTimeout(timer)
    child?.kill(signal)
    timer = setTimeout(() => child?.kill('SIGKILL'), stopMs)
  }

  function runOnce(): Promise<number> {
    const { env, prefix } = prepare(unit, name)
    const watchdog = watchdogMs > 0 ? { WATCHDOG_USEC: String(1_000 * watchdogMs) } : {}
    const [command = '', ...args] = [...prefix, ...words(unit, 'Service', 'ExecStart')]
    const started = spawn(command, args, {
      env: { LANG: 'C.UTF-8', ...pipe.env, ...watchdog, ...env },
      stdio: ['ignore', 'inherit', 'inherit'],
    })
    child = started
    abortAfter(startMs, 'did not become ready, aborting')
    return new Promise((resolve, reject) => {
      started.once('error', reject)
      started.once('exit', (code, signal) => {
        clearTimeout(timer)
        say(`ended with ${signal ?? String(code)}`)
        resolve(signal === null ? (code ?? 1) : 128 + constants.signals[signal])
      })
    })
  }

  async function run(): Promise<number> {
    for (;;) {
      const code = await runOnce()
      await pause(always ? restartMs : 0, null, stopped).catch(() => null)
      if (!always || stopped.signal.aborted) return code
    }
  }

  return {
    ended: run().finally(() => pipe.close()),
    stop() {
      stopped.abort()
      end('SIGTERM')
    },
  }
}
