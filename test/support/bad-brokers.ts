import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { generate, parser, type Packet } from 'mqtt-packet'
import { splitPackets } from './packets.ts'
import { seededRandom } from './random.ts'

export interface BadBroker {
  port: number
  /** PUBLISH packets it got. */
  published(): number
  close(): Promise<void>
}

/** A broker that says yes to everything, acknowledges every message, and passes none on. */
export async function startForgetfulBroker(): Promise<BadBroker> {
  let published = 0
  return serve(
    (socket) => {
      const packets = parser({ protocolVersion: 4 })
      packets.on('packet', (packet: Packet) => {
        if (packet.cmd === 'publish') published += 1
        const answer = acknowledgement(packet)
        if (answer !== null) socket.write(generate(answer))
      })
      packets.on('error', () => socket.destroy())
      socket.on('data', (bytes) => void packets.parse(bytes))
    },
    () => published,
  )
}

function acknowledgement(packet: Packet): Packet | null {
  const { messageId = 0 } = packet
  switch (packet.cmd) {
    case 'connect':
      return { cmd: 'connack', returnCode: 0, sessionPresent: false }
    case 'subscribe':
      return { cmd: 'suback', granted: packet.subscriptions.map(({ qos }) => qos), messageId }
    case 'publish':
      return packet.qos === 0 ? null : { cmd: 'puback', messageId }
    case 'pingreq':
      return { cmd: 'pingresp' }
    default:
      return null
  }
}

/** How often held messages are looked at, ms, and how many looks one can be held for. */
const LOOK_MS = 20
const MOST_LOOKS = 4

/**
 * A broker that delivers every message twice and in no order: each copy, both ways, is held for a
 * random while. Behind it is the real one at `target`.
 */
export async function startShufflingBroker(target: () => number, seed: number): Promise<BadBroker> {
  const random = seededRandom(seed)
  let published = 0
  return serve(
    (near) => {
      const far = connect({ port: target(), host: '127.0.0.1' })
      shuffle(near, far)
      shuffle(far, near)
    },
    () => published,
  )

  function shuffle(from: Socket, to: Socket): void {
    let held: { packet: Buffer; looks: number }[] = []
    const timer = setInterval(() => {
      const leaving = held.filter((entry) => (entry.looks -= 1) < 0)
      held = held.filter((entry) => entry.looks >= 0)
      const order = leaving.map(({ packet }) => ({ packet, at: random() }))
      for (const { packet } of order.toSorted((a, b) => a.at - b.at)) to.write(packet)
    }, LOOK_MS)
    splitPackets(from, (packet) => {
      if ((packet[0] ?? 0) >> 4 !== PUBLISH) {
        to.write(packet)
        return
      }
      published += 1
      for (let copy = 0; copy < 2; copy++)
        held.push({ packet, looks: Math.floor(random() * MOST_LOOKS) })
    })
    from.on('error', () => to.destroy())
    from.on('close', () => {
      clearInterval(timer)
      to.destroy()
    })
  }
}

/** Packet type of MQTT 3.1.1 §2.2.1, table 2.1. */
const PUBLISH = 3

async function serve(
  accept: (socket: Socket) => void,
  published: () => number,
): Promise<BadBroker> {
  const sockets = new Set<Socket>()
  const server: Server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => socket.destroy())
    socket.on('close', () => sockets.delete(socket))
    accept(socket)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    published,
    async close() {
      const closed = once(server.close(), 'close')
      for (const socket of sockets) socket.destroy()
      await closed
    },
  }
}
