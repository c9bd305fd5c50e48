/** A small MQTT 3.1.1 client, so that making load costs less than taking it. */
import { connect, type NetConnectOpts, type Socket } from 'node:net'
import { generate, parser, type Packet } from 'mqtt-packet'

export interface MqttClient {
  readonly socket: Socket
  publish(topic: string, payload: Uint8Array): void
  close(): void
}

export interface MqttEvents {
  /** Connected and subscribed. */
  up(): void
  message(topic: string, payload: Buffer): void
  /** Over without `close`. */
  lost(reason: string): void
}

/** One PUBLISH, QoS 0, with its real encoding. */
export function encodePublish(topic: string, payload: Uint8Array): Buffer {
  const bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.length)
  const flags = { qos: 0, dup: false, retain: false } as const
  return generate({ cmd: 'publish', topic, payload: bytes, ...flags })
}

/** Connects, subscribes to `filter` at QoS 0, and hands over what comes. */
export function connectMqtt(
  where: NetConnectOpts,
  { clientId, filter }: { clientId: string; filter: string },
  events: MqttEvents,
): MqttClient {
  const socket = connect(where)
  socket.setNoDelay(true)
  let closed = false
  const lost = (reason: string) => {
    if (!closed) events.lost(reason)
    closed = true
  }
  const incoming = parser()
  incoming.on('packet', (packet: Packet) => {
    if (packet.cmd === 'publish') events.message(packet.topic, packet.payload as Buffer)
    else if (packet.cmd === 'connack' && packet.returnCode === 0) {
      const subscriptions = [{ topic: filter, qos: 0 as const }]
      socket.write(generate({ cmd: 'subscribe', messageId: 1, subscriptions }))
    } else if (packet.cmd === 'suback' && packet.granted[0] === 0) events.up()
    else lost(`refused: ${packet.cmd}`)
  })
  socket.on('data', (bytes) => void incoming.parse(bytes))
  socket.on('error', (error) => lost(error.message))
  socket.on('close', () => lost('the broker closed the connection'))
  socket.on('connect', () => {
    const session = {
      protocolId: 'MQTT',
      protocolVersion: 4,
      clean: true,
      keepalive: 1_200,
    } as const
    socket.write(generate({ cmd: 'connect', clientId, ...session }))
  })
  return {
    socket,
    publish: (topic, payload) => void socket.write(encodePublish(topic, payload)),
    close: () => {
      closed = true
      socket.destroy()
    },
  }
}
