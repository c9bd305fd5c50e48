import { execFile } from 'node:child_process'
import systemdNotify from 'systemd-notify'

/** What a service tells systemd. Everything is a no-op when nobody asked (no NOTIFY_SOCKET). */
export interface Notify {
  ready(status?: string): void
  status(text: string): void
  stopping(): void
  /**
   * “I have done useful work.” Call it after a successful commit (or whatever the program is for),
   * never from a timer alone: a process that spins without storing must be restarted.
   */
  watchdog(): void
}

/** `failed` hears about every message that did not get through; none is worth stopping for. */
export function createNotify(failed: (error: unknown) => void): Notify {
  if (process.env['NOTIFY_SOCKET'] === undefined) {
    return { ready() {}, status() {}, stopping() {}, watchdog() {} }
  }
  // Node has no datagram socket of this kind, so a child process speaks for us (5 ms, a few times a
  // minute); NotifyAccess=all makes systemd listen to it.
  const raw = (state: string) =>
    void execFile('systemd-notify', [state], (error) => error && failed(error))
  return {
    ready: (status) => {
      const options = { ready: true, pid: process.pid }
      systemdNotify(status === undefined ? options : { ...options, status }).catch(failed)
    },
    status: (text) => void systemdNotify({ status: text, pid: process.pid }).catch(failed),
    stopping: () => raw('STOPPING=1'),
    watchdog: () => raw('WATCHDOG=1'),
  }
}
