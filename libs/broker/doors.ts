import { chmod, lstat, unlink } from 'node:fs/promises'
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { createServer as createTlsServer } from 'node:tls'
import { CodedError } from '#errors'
import { addressKey } from './address.ts'
import type { BrokerLimits } from './limits.ts'
import type { Reason } from './refusals.ts'
import type { Rules } from './rules.ts'

/** One network listener. */
export interface NetworkListener {
  tls: boolean
  host: string
  /** 0: the system chooses. */
  port: number
}

/** PEM texts for listeners with TLS. */
export interface TlsFiles {
  key: string
  cert: string
}

export interface Door {
  /** For a network door. */
  port: number | null
  close(): Promise<void>
}

/** What the doors share: limits over all of them together, and where accepted sockets go. */
export interface DoorKeeper {
  limits: BrokerLimits
  rules: Rules
  accept(socket: Socket, address: string, local: boolean): void
  refused(reason: Reason, address: string): void
}

/** Small read and write buffers: nothing a client sends or gets is large. */
const SOCKET_BUFFER_BYTES = 16_384
const BACKLOG = 1_024
/** sun_path has 108 bytes with its terminator on Linux. */
const SOCKET_PATH_BYTES = 107
const SOCKET_MODE = 0o660

/** Connections now open, in total and by address. One for all network doors of a broker. */
export class ConnectionCount {
  readonly #byAddress = new Map<string, number>()
  #total = 0

  get total(): number {
    return this.#total
  }

  /** The limit that one more connection from here would break, or null: then it is counted. */
  enter(key: string, { limits, rules }: DoorKeeper): Reason | null {
    const here = this.#byAddress.get(key) ?? 0
    if (this.#total >= limits.connections && rules.has('connections')) return 'connections'
    if (here >= limits.connectionsPerAddress && rules.has('connections-per-address'))
      return 'connections-per-address'
    this.#total++
    this.#byAddress.set(key, here + 1)
    return null
  }

  leave(key: string): void {
    this.#total--
    const here = (this.#byAddress.get(key) ?? 1) - 1
    if (here === 0) this.#byAddress.delete(key)
    else this.#byAddress.set(key, here)
  }
}

/**
 * Listens for meters or fog nodes. Limits apply before a byte is read or a TLS handshake begun.
 * @throws broker/listen when the address cannot be had, broker/tls when key and certificate do not fit
 */
export async function openNetworkDoor(
  listener: NetworkListener,
  tls: TlsFiles | null,
  count: ConnectionCount,
  keeper: DoorKeeper,
): Promise<Door> {
  const { host, port } = listener
  const shaking: Handshakes = new Set()
  const server = listener.tls ? tlsServer(tls, shaking, keeper) : createServer(socketOptions)
  server.on('connection', (socket: Socket) => {
    const admitted = enter(socket, count, keeper)
    if (admitted === null) return
    if (listener.tls) watchHandshake(socket, admitted, shaking, keeper)
    else keeper.accept(socket, admitted, false)
  })
  await listening(server, { host, port, backlog: BACKLOG }, `${host}:${port}`)
  return { port: (server.address() as AddressInfo).port, close: () => closed(server) }
}

/** Counts a connection in and, later, out; null and destroyed when a limit says no. */
function enter(socket: Socket, count: ConnectionCount, keeper: DoorKeeper): string | null {
  const address = socket.remoteAddress
  // Gone before it was accepted.
  if (address === undefined) {
    socket.destroy()
    return null
  }
  const key = addressKey(address)
  const broken = count.enter(key, keeper)
  if (broken === null) {
    socket.once('close', () => count.leave(key))
    return address
  }
  keeper.refused(broken, address)
  socket.destroy()
  return null
}

const socketOptions = { noDelay: true, highWaterMark: SOCKET_BUFFER_BYTES }

/** Connections whose TLS handshake is under way. */
type Handshakes = Set<string>

/** A connection, before and after TLS has wrapped it. */
function endsOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress} ${remotePort}`
}

/**
 * Counts a connection as refused when it closes before its handshake is done. By then nobody can tell
 * any more whose it was, so that is written down here.
 */
function watchHandshake(
  socket: Socket,
  address: string,
  shaking: Handshakes,
  keeper: DoorKeeper,
): void {
  const ends = endsOf(socket)
  shaking.add(ends)
  socket.once('close', () => {
    if (shaking.delete(ends)) keeper.refused('tls', address)
  })
}

function tlsServer(files: TlsFiles | null, shaking: Handshakes, keeper: DoorKeeper): Server {
  const { limits, rules } = keeper
  const timeout = rules.has('connect-timeout') ? { handshakeTimeout: limits.connectTimeoutMs } : {}
  try {
    const server = createTlsServer({
      ...socketOptions,
      ...timeout,
      ...files,
      minVersion: 'TLSv1.2',
    })
    server.on('tlsClientError', (_, socket) => socket.destroy())
    return server.on('secureConnection', (socket) => {
      shaking.delete(endsOf(socket))
      if (socket.remoteAddress === undefined) socket.destroy()
      else keeper.accept(socket, socket.remoteAddress, false)
    })
  } catch (error) {
    const message = `the TLS key and certificate cannot be used: ${String(error)}`
    throw new CodedError('broker/tls', message, { cause: error })
  }
}

/**
 * Listens on a Unix socket for the agent. A socket file left by a crashed broker is replaced; one
 * that somebody still answers is not.
 * @throws broker/socket
 */
export async function openLocalDoor(path: string, keeper: DoorKeeper): Promise<Door> {
  if (Buffer.byteLength(path) > SOCKET_PATH_BYTES)
    throw socketError(path, `the path is longer than ${SOCKET_PATH_BYTES} bytes`)
  await removeStale(path)
  const server = createServer()
  server.on('connection', (socket) => keeper.accept(socket, 'local', true))
  await listening(server, { path }, path)
  // Until here the file had 0755 under any usual umask, which lets nobody else connect either.
  await chmod(path, SOCKET_MODE)
  return { port: null, close: () => closed(server) }
}

async function removeStale(path: string): Promise<void> {
  const found = await lstat(path).catch(() => null)
  if (found === null) return
  if (!found.isSocket()) throw socketError(path, 'a file of another kind is in its place')
  if (await answers(path)) throw socketError(path, 'another broker is running there')
  await unlink(path).catch((error: unknown) => {
    throw socketError(path, `an old one cannot be removed: ${String(error)}`)
  })
}

/** Whether a process listens there. A full backlog or a refused permission is an answer too. */
function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path)
    socket.once('connect', () => {
      resolve(true)
      socket.destroy()
    })
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code !== 'ECONNREFUSED'))
  })
}

function socketError(path: string, what: string): CodedError {
  return new CodedError(
    'broker/socket',
    `${path}: ${what}; stop it, remove it, or change local.socket`,
  )
}

function listening(
  server: Server,
  where: { path: string } | { host: string; port: number; backlog: number },
  name: string,
): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error) => {
      const message = `cannot listen on ${name}: ${error.message}; is another broker running?`
      reject(new CodedError('broker/listen', message, { cause: error }))
    })
    server.listen(where, resolve)
  })
}

function closed(server: Server): Promise<void> {
  return new Promise((resolve) => server.close(() => resolve()))
}
