import { execFile } from 'node:child_process'
import systemdNotify from 'systemd-notify'
import { systemClock } from './system.ts'

/** What a service tells systemd. Everything is a no-op when nobody asked (no NOTIFY_SOCKET). */
export interface Notify {
  ready(status?: string): void
  status(text: string): void
  stopping(): void
  /**
   * “I have done useful work.” Call it after a successful commit (or whatever the program is for),
   * never from a timer alone: a process that spins without storing must be restarted. As often as
   * there is work: only what the watchdog needs is passed on.
   */
  watchdog(): void
  /** A program without other work proves at least this often that it could do some, ms. */
  readonly probeMs: number
}

/** Without a watchdog, and at most: how old news about the disk may be on /healthz. */
const maxProbeMs = 10_000

/** `failed` hears about every message that did not get through; none is worth stopping for. */
export function createNotify(failed: (error: unknown) => void): Notify {
  if (process.env['NOTIFY_SOCKET'] === undefined) {
    return { ready() {}, status() {}, stopping() {}, watchdog() {}, probeMs: maxProbeMs }
  }
  // Node has no datagram socket of this kind, so a child process speaks for us (5 ms, a few times a
  // minute); NotifyAccess=all makes systemd listen to it.
  const raw = (state: string) =>
    void execFile('systemd-notify', [state], (error) => error && failed(error))
  // sd_watchdog_enabled(3); a quarter, so that one message may get lost and one may be late.
  const quarterMs = Number(process.env['WATCHDOG_USEC'] ?? Infinity) / 4_000
  let nextMs = 0
  return {
    ready: (status) => {
      const options = { ready: true, pid: process.pid }
      systemdNotify(status === undefined ? options : { ...options, status }).catch(failed)
    },
    status: (text) => void systemdNotify({ status: text, pid: process.pid }).catch(failed),
    stopping: () => raw('STOPPING=1'),
    watchdog: () => {
      const nowMs = systemClock.monotonic()
      if (nowMs < nextMs || quarterMs === Infinity) return
      nextMs = nowMs + quarterMs / 2
      raw('WATCHDOG=1')
    },
    probeMs: Math.min(maxProbeMs, quarterMs),
  }
}
