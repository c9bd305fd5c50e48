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

/** Sends one datagram to systemd; false when this way is not open. */
type Datagram = (state: string) => boolean

/** `failed` hears about every message that did not get through; none is worth stopping for. */
export async function createNotify(failed: (error: unknown) => void): Promise<Notify> {
  const socket = process.env['NOTIFY_SOCKET']
  if (socket === undefined) {
    return { ready() {}, status() {}, stopping() {}, watchdog() {} }
  }
  const send = await datagram(socket)
  // A child process is asked to speak where no datagram socket is to be had; NotifyAccess=all
  // makes systemd listen to it.
  const raw = (state: string) => {
    if (!send(state)) execFile('systemd-notify', [state], (error) => error && failed(error))
  }
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

/** systemd-notify(1) costs 5 ms a call; node-unix-socket, where it loads, a fraction of one. */
async function datagram(socket: string): Promise<Datagram> {
  // An abstract socket ('@…') has no path the package could send to.
  if (!socket.startsWith('/')) return () => false
  try {
    const { DgramSocket } = await import('node-unix-socket')
    const sender = new DgramSocket()
    sender.on('error', () => {})
    return (state) => {
      const bytes = Buffer.from(state)
      try {
        sender.sendTo(bytes, 0, bytes.length, socket)
        return true
      } catch {
        return false
      }
    }
  } catch {
    return () => false
  }
}
