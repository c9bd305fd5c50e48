import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { generate, parser, type Packet } from 'mqtt-packet'
import { splitPackets } from './packets.ts'

export type Way = 'up' | 'down'

/** One PUBLISH as it passed. */
export interface Captured {
  way: Way
  topic: string
  payload: Uint8Array
}

/**
 * An attacker on the wire between MQTT clients and their broker: sees all, adds what it likes
 * between packets, holds packets back, cuts.
 */
export interface Tap {
  port: number
  frames: Captured[]
  /** Everything that passed, both ways, as bytes. */
  wire: Buffer[]
  clientIds: string[]
  /** What to send before an honest packet on its way up; called once for each of them. */
  ahead: (honest: Captured) => Uint8Array[]
  /** Adds a packet to the newest connection, on a topic of that connection. */
  inject(way: Way, payloads: readonly Uint8Array[]): void
  /** From now on nothing honest goes up; it follows when `hold(false)` is called. */
  hold(on: boolean): void
  cut(): void
  close(): Promise<void>
}

interface Line {
  near: Socket
  far: Socket
  cid: string
  node: string
}

export async function startTap(targetPort: () => number): Promise<Tap> {
  const lines = new Set<Line>()
  const held: (() => void)[] = []
  let holding = false
  const server = createServer((near) => {
    const line: Line = { near, far: connect(targetPort(), '127.0.0.1'), cid: '', node: '' }
    lines.add(line)
    for (const [socket, other] of [
      [near, line.far],
      [line.far, near],
    ] as const) {
      socket.on('error', () => other.destroy())
      socket.on('close', () => {
        lines.delete(line)
        other.destroy()
      })
    }
    carry(line, 'up')
    carry(line, 'down')
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')

  function carry(line: Line, way: Way): void {
    const [from, to] = way === 'up' ? [line.near, line.far] : [line.far, line.near]
    const packets = parser({ protocolVersion: 4 })
    let current: Captured | null = null
    packets.on('packet', (packet: Packet) => {
      if (packet.cmd === 'connect') {
        line.cid = packet.clientId
        tap.clientIds.push(packet.clientId)
      }
      if (packet.cmd !== 'publish') return
      line.node = packet.topic.split('/')[2] ?? ''
      current = { way, topic: packet.topic, payload: Uint8Array.from(packet.payload as Buffer) }
    })
    splitPackets(from, (bytes) => {
      current = null
      packets.parse(bytes)
      const frame = current as Captured | null
      const pass = () => {
        if (frame !== null) tap.frames.push(frame)
        if (frame !== null && way === 'up') send(line, way, tap.ahead(frame))
        tap.wire.push(bytes)
        to.write(bytes)
      }
      if (holding && way === 'up' && frame !== null) held.push(pass)
      else pass()
    })
  }

  function send(line: Line, way: Way, payloads: readonly Uint8Array[]): void {
    const topic = `fm/1/${line.node}/${way === 'up' ? 'up' : 'dn'}/${line.cid}`
    const socket = way === 'up' ? line.far : line.near
    for (const payload of payloads) socket.write(publishPacket(topic, payload))
  }

  const tap: Tap = {
    port: (server.address() as AddressInfo).port,
    frames: [],
    wire: [],
    clientIds: [],
    ahead: () => [],
    inject(way, payloads) {
      const newest = [...lines].at(-1)
      if (newest !== undefined) send(newest, way, payloads)
    },
    hold(on) {
      holding = on
      if (!on) for (const pass of held.splice(0)) pass()
    },
    cut() {
      held.length = 0
      for (const { near } of lines) near.resetAndDestroy()
    },
    async close() {
      tap.cut()
      await once(server.close(), 'close')
    },
  }
  return tap
}

export function publishPacket(topic: string, payload: Uint8Array): Buffer {
  return generate({
    cmd: 'publish',
    topic,
    payload: Buffer.from(payload),
    qos: 0,
    dup: false,
    retain: false,
  })
}
