import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import {
  generate,
  parser,
  type IConnackPacket,
  type IConnectPacket,
  type Packet,
} from 'mqtt-packet'
import { dn, newChannelId, up, type Target } from './broker.ts'

/** An MQTT connection without manners: it sends what it is told and remembers what it gets. */
export interface RawClient {
  socket: Socket
  cid: string
  received: Packet[]
  closed: Promise<null>
  isClosed(): boolean
  write(bytes: Uint8Array): void
  send(packet: Packet): void
  publish(topic: string, payload: string, more?: { qos?: 0 | 1 | 2; retain?: boolean }): void
  /** The next packet (or one received before) that fits; null when the connection ends first. */
  get<T extends Packet>(fits: (packet: Packet) => boolean): Promise<T | null>
}

export async function open(
  target: Target,
  where: 'network' | 'local' = 'network',
): Promise<RawClient> {
  const socket = where === 'local' ? connect(target.socket) : connect(target.port, '127.0.0.1')
  await once(socket, 'connect')
  return rawClient(socket)
}

export function rawClient(socket: Socket): RawClient {
  const received: Packet[] = []
  const waiting = new Set<() => void>()
  let over = false
  const wake = () => {
    for (const look of waiting) look()
  }
  const packets = parser({ protocolVersion: 4 })
  packets.on('packet', (packet: Packet) => {
    received.push(packet)
    wake()
  })
  socket.on('data', (bytes) => packets.parse(bytes))
  socket.on('error', () => {})
  const closed = new Promise<null>((resolve) => {
    socket.once('close', () => {
      over = true
      wake()
      resolve(null)
    })
  })
  const client: RawClient = {
    socket,
    cid: newChannelId(),
    received,
    closed,
    isClosed: () => over,
    write: (bytes) => void socket.write(bytes),
    send: (packet) => void socket.write(generate(packet, { protocolVersion: 4 })),
    publish: (topic, payload, { qos = 0, retain = false } = {}) =>
      client.send({ cmd: 'publish', topic, payload, qos, retain, dup: false, messageId: 7 }),
    get: <T extends Packet>(fits: (packet: Packet) => boolean) =>
      new Promise<T | null>((resolve) => {
        const look = () => {
          const found = received.find(fits)
          if (found === undefined && !over) return
          waiting.delete(look)
          resolve((found as T | undefined) ?? null)
        }
        waiting.add(look)
        look()
      }),
  }
  return client
}

/** Sends CONNECT as a well-behaved client would, but for `changes`; yields the return code. */
export async function greet(
  client: RawClient,
  changes: Partial<IConnectPacket> = {},
): Promise<number | null> {
  const clientId = changes.clientId ?? client.cid
  client.cid = clientId
  client.send({
    cmd: 'connect',
    protocolId: 'MQTT',
    protocolVersion: 4,
    clean: true,
    keepalive: 60,
    ...changes,
    clientId,
  })
  const connack = await client.get<IConnackPacket>(({ cmd }) => cmd === 'connack')
  return connack?.returnCode ?? null
}

/** A connected, subscribed client as a meter would be. */
export async function meter(target: Target, cid = newChannelId()): Promise<RawClient> {
  const client = await open(target)
  if ((await greet(client, { clientId: cid })) !== 0) throw new Error('the meter was refused')
  if ((await subscribe(client, dn(cid))) === null) throw new Error('no subscription')
  return client
}

/** Connected on the local socket and subscribed to everything going up, as the agent is. */
export async function agent(target: Target): Promise<RawClient> {
  const client = await open(target, 'local')
  const code = await greet(client, { clientId: `node-${newChannelId()}` })
  if (code !== 0) throw new Error('the agent was refused')
  if ((await subscribe(client, up('#'))) === null) throw new Error('no subscription')
  return client
}

/** The granted QoS of each filter, 128 for a refused one; null when the connection ended. */
export async function subscribe(
  client: RawClient,
  ...topics: string[]
): Promise<readonly number[] | null> {
  const subscriptions = topics.map((topic) => ({ topic, qos: 0 as const }))
  client.send({ cmd: 'subscribe', messageId: 3, subscriptions })
  const suback = await client.get<Packet>(({ cmd }) => cmd === 'suback')
  return suback?.cmd === 'suback' ? (suback.granted as number[]) : null
}

/** Waits for a message with this payload; null when the connection ended. */
export async function message(client: RawClient, payload: string): Promise<Packet | null> {
  return client.get((packet) => packet.cmd === 'publish' && packet.payload.toString() === payload)
}

/** Everything published so far has arrived: an honest message went the same way after it. */
export async function settleUp(target: Target, listener: RawClient): Promise<void> {
  const honest = await meter(target)
  const marker = `marker ${honest.cid}`
  honest.publish(up(honest.cid), marker)
  await message(listener, marker)
  honest.socket.destroy()
}

export function hasMessage(client: RawClient, payload: string): boolean {
  return client.received.some(
    (packet) => packet.cmd === 'publish' && packet.payload.toString() === payload,
  )
}
