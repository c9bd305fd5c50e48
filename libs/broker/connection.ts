import type { Socket } from 'node:net'
import type { Clock } from '#ports'
import type { FrameGuard, Violation } from './frame-guard.ts'
import type { Party } from './rules.ts'

/** What the broker knows of one connection. `local` is set by the listener and never changes. */
export interface Connection extends Party {
  readonly socket: Socket
  readonly address: string
  readonly sinceMs: number
  readonly guard: FrameGuard
  clientId: string | null
  /** The agent has finished a handshake with this client. */
  admitted: boolean
  /** Counted as refused already. */
  refused: boolean
  /** Left unread for a while, to slow it down. */
  throttled: boolean
  /** Has not read what it was sent; a timer is running. */
  draining: boolean
}

const key = Symbol('connection')

interface OwnedSocket extends Socket {
  [key]?: Connection
}

/** The connection a socket belongs to. */
export function connectionOf(socket: object): Connection {
  const connection = (socket as OwnedSocket)[key]
  if (connection === undefined) throw new Error('a socket that came through no listener')
  return connection
}

export interface Inspector {
  clock: Clock
  /** Must destroy the socket. */
  onViolation(connection: Connection, violation: Violation): void
  onThrottle(): void
}

/**
 * Puts the guard between the socket and its reader, whoever that is: every byte leaves a socket
 * through `read`. Replacing that one method costs a few words of memory per connection, where a
 * stream of its own in between would double the 20 KiB of an idle client.
 */
export function guardSocket(connection: Connection, inspector: Inspector): void {
  const socket: OwnedSocket = connection.socket
  socket[key] = connection
  const guarded = guardedReads.get(inspector) ?? makeGuardedRead(inspector)
  guardedReads.set(inspector, guarded)
  socket.read = guarded
}

type Read = (this: Socket, size?: number) => Buffer | null

/** One function for all sockets of a broker. */
const guardedReads = new WeakMap<Inspector, Read>()

function makeGuardedRead(inspector: Inspector): Read {
  return function guardedRead(this: OwnedSocket, size?: number): Buffer | null {
    // Node itself reads 0 bytes to get a socket going.
    if (size === 0) return plainRead(this, 0)
    const connection = connectionOf(this)
    if (connection.throttled) return null
    const bytes = plainRead(this, size)
    if (bytes === null) return null
    const violation = connection.guard.inspect(bytes, inspector.clock.monotonic())
    if (violation !== null) {
      inspector.onViolation(connection, violation)
      return null
    }
    const { waitMs } = connection.guard
    if (waitMs > 0) throttle(connection, waitMs, inspector)
    return bytes
  }
}

/** What `read` does for this kind of socket without a guard. */
function plainRead(socket: Socket, size: number | undefined): Buffer | null {
  const { read } = Object.getPrototypeOf(socket) as { read: Read }
  return read.call(socket, size)
}

/** Unread, a socket fills its small buffer and then TCP holds the sender back. */
function throttle(connection: Connection, waitMs: number, inspector: Inspector): void {
  connection.throttled = true
  inspector.onThrottle()
  const timer = setTimeout(() => {
    connection.throttled = false
    // Node announces data only once until it is read.
    if (!connection.socket.destroyed) connection.socket.emit('readable')
  }, waitMs)
  timer.unref()
}
