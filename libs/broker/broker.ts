import { promisify } from 'node:util'
import type { Socket } from 'node:net'
import type { Aedes, Client } from 'aedes'
import type { Clock } from '#ports'
import { Admission } from './admission.ts'
import { connectionOf, guardSocket, type Connection, type Inspector } from './connection.ts'
import {
  ConnectionCount,
  openLocalDoor,
  openNetworkDoor,
  type Door,
  type DoorKeeper,
} from './doors.ts'
import { createEngine, type EngineHost } from './engine.ts'
import { FrameGuard, NO_RATE, type GuardLimits } from './frame-guard.ts'
import { defaultLimits, LOCAL_PACKET_BYTES, type BrokerLimits } from './limits.ts'
import { Refusals, type Reason } from './refusals.ts'
import { allRules, type Rules } from './rules.ts'
import { neverWaitFor } from './slow-reader.ts'
import { channelOf, topicsOf, type Topics } from './topics.ts'
import type { Broker, BrokerCounters, BrokerOptions } from './types.ts'

/**
 * Starts the keyless broker of a fog node or of the cloud: strangers on the network, the agent on a
 * local socket, and the rules of rules.ts between them.
 * @throws broker/listen, broker/socket, broker/tls
 */
export async function createBroker(options: BrokerOptions): Promise<Broker> {
  const broker = new KeylessBroker(options)
  await broker.open(options)
  return broker
}

class KeylessBroker implements Broker, EngineHost, DoorKeeper, Inspector {
  readonly limits: BrokerLimits
  readonly rules: Rules
  readonly topics: Topics
  readonly clock: Clock
  readonly #refusals: Refusals
  readonly #admission: Admission
  readonly #count = new ConnectionCount()
  readonly #sockets = new Set<Socket>()
  readonly #byClientId = new Map<string, Connection>()
  readonly #agents = new Set<Connection>()
  readonly #doors: Door[] = []
  readonly #totals = { accepted: 0, admitted: 0, up: 0, down: 0, throttled: 0, withheld: 0 }
  #engine: Aedes | null = null

  constructor({ node, limits, clock, log, rules }: BrokerOptions) {
    this.limits = { ...defaultLimits, ...limits }
    this.rules = rules ?? allRules
    this.topics = topicsOf(node)
    this.clock = clock
    this.#refusals = new Refusals(log)
    this.#admission = new Admission(this.limits.admitTimeoutMs, clock, (connection) =>
      this.refuse(connection, 'admission'),
    )
  }

  async open({ listen, tls, socket, log }: BrokerOptions): Promise<void> {
    this.#engine = await createEngine(this)
    this.#engine.on(
      'error' as 'closed',
      ((error: unknown) => {
        log?.error({ err: error }, 'the broker engine reports an error')
      }) as () => void,
    )
    this.#engine.on('clientError', (client, error) => this.#failed(client, error))
    this.#engine.on('connectionError', (client, error) => this.#failed(client, error))
    this.#engine.on('keepaliveTimeout', (client) =>
      this.refuse(connectionOf(client.conn), 'silent'),
    )
    this.#engine.on('subscribe', (_, client) => this.#subscribed(connectionOf(client.conn)))
    try {
      // The agent's door first: a meter admitted to a broker without agent would wait for nothing.
      this.#doors.push(await openLocalDoor(socket, this))
      for (const listener of listen)
        this.#doors.push(await openNetworkDoor(listener, tls ?? null, this.#count, this))
    } catch (error) {
      await this.close()
      throw error
    }
  }

  get ports(): readonly number[] {
    return this.#doors.flatMap(({ port }) => port ?? [])
  }

  // DoorKeeper

  accept(socket: Socket, address: string, local: boolean): void {
    const sinceMs = this.clock.monotonic()
    const guard = new FrameGuard(local ? this.#localLimits() : this.limits, this.rules, sinceMs)
    const connection: Connection = {
      socket,
      local,
      address,
      sinceMs,
      guard,
      clientId: null,
      admitted: false,
      refused: false,
      throttled: false,
      draining: false,
    }
    this.#totals.accepted += local ? 0 : 1
    this.#sockets.add(socket)
    guardSocket(connection, this)
    socket.once('close', () => this.#gone(connection))
    if (!local && this.rules.has('admission')) this.#admission.wait(connection)
    const client = (this.#engine as Aedes).handle(socket)
    if (!local) neverWaitFor(client, this)
  }

  refused(reason: Reason, address: string): void {
    this.#refusals.add(reason, address, this.clock.monotonic())
  }

  // Inspector

  onViolation(connection: Connection, reason: Reason): void {
    this.refuse(connection, reason)
  }

  onThrottle(): void {
    this.#totals.throttled++
  }

  // EngineHost

  holderOf(clientId: string): Connection | null {
    return this.#byClientId.get(clientId) ?? null
  }

  accepted(connection: Connection, clientId: string): void {
    connection.clientId = clientId
    this.#byClientId.set(clientId, connection)
  }

  refuse(connection: Connection, reason: Reason): void {
    if (!connection.refused) this.refused(reason, connection.address)
    connection.refused = true
    connection.socket.destroy()
  }

  published(connection: Connection, topic: string, payload: string | Buffer): void {
    const channel = channelOf(topic, this.topics.control)
    if (channel === null) {
      if (connection.local) this.#totals.down++
      else this.#totals.up++
    } else if (connection.local || !this.rules.has('control-local-only')) {
      this.#control(channel, payload.toString())
    }
  }

  withheld(): void {
    this.#totals.withheld++
  }

  // Broker

  counters(): BrokerCounters {
    const { accepted, admitted, up, down, throttled, withheld } = this.#totals
    return {
      connections: this.#count.total,
      waiting: this.#admission.size,
      agents: this.#agents.size,
      accepted,
      admitted,
      messagesUp: up,
      messagesDown: down,
      throttled,
      withheld,
      refused: this.#refusals.totals(),
    }
  }

  health(): string | null {
    if (this.#engine === null || this.#engine.closed) return 'the broker is closed'
    if (this.#agents.size === 0) return 'nobody is subscribed on the local socket'
    return null
  }

  probe(): Promise<void> {
    const engine = this.#engine
    if (engine === null || engine.closed) return Promise.reject(new Error('the broker is closed'))
    const packet = { cmd: 'publish', topic: '$SYS/probe', payload: '', qos: 0 } as const
    return new Promise((resolve, reject) => {
      engine.publish({ ...packet, dup: false, retain: false }, (error) =>
        error ? reject(error) : resolve(),
      )
    })
  }

  async close(): Promise<void> {
    this.#admission.stop()
    const doors = this.#doors.map((door) => door.close())
    for (const socket of this.#sockets) socket.destroy()
    await Promise.all(doors)
    const engine = this.#engine
    if (engine !== null && !engine.closed) await promisify(engine.close.bind(engine))()
  }

  #localLimits(): GuardLimits {
    const { connectBytes } = this.limits
    const rates = { packetsPerSecond: NO_RATE, bytesPerSecond: NO_RATE }
    return { connectBytes, packetBytes: LOCAL_PACKET_BYTES, ...rates }
  }

  #control(channel: string, word: string): void {
    const connection = this.#byClientId.get(channel)
    if (connection === undefined) return
    // The agent's last word to this client has been handed to the socket, which writes at the end of the turn.
    if (word === 'drop') setImmediate(() => this.refuse(connection, 'dropped-by-agent'))
    if (word !== 'admit' || connection.admitted) return
    connection.admitted = true
    this.#totals.admitted++
    this.#admission.leave(connection)
  }

  #subscribed(connection: Connection): void {
    if (connection.local) this.#agents.add(connection)
  }

  #gone(connection: Connection): void {
    const { socket, clientId } = connection
    this.#sockets.delete(socket)
    this.#admission.leave(connection)
    this.#agents.delete(connection)
    if (clientId !== null && this.#byClientId.get(clientId) === connection)
      this.#byClientId.delete(clientId)
  }

  /** Aedes ends a connection: its own checks, or a peer that went away without a word. */
  #failed(client: Client, error: Error & { code?: string }): void {
    const connection = connectionOf(client.conn)
    if (error.message === 'connect did not arrive in time')
      this.refuse(connection, 'connect-timeout')
    else if (error.message === 'drain timeout') this.refuse(connection, 'slow-reader')
    else if (error.code === undefined) this.refuse(connection, 'malformed')
  }
}
