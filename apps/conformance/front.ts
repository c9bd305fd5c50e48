import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { parser, type Packet } from 'mqtt-packet'
import { CodedError } from '#errors'

/** What the meter's MQTT packets say, before the broker behind judges them. */
export interface PacketWatch {
  opened(line: number): void
  /** `size` is the whole packet in bytes. */
  packet(line: number, packet: Packet, size: number): void
  /** Bytes that are no packet. */
  unreadable(line: number, reason: string): void
  closed(line: number): void
}

export interface Front {
  readonly port: number
  /** Ends every connection at once, as a network does. */
  cut(): void
  close(): Promise<void>
}

export interface FrontOptions {
  readonly host: string
  /** 0: the system chooses. */
  readonly port: number
  /** Port of the broker behind, on 127.0.0.1. */
  readonly broker: number
  readonly watch: PacketWatch
}

/**
 * The door a meter comes in by: passes every byte to the broker and back, and reads along.
 * @throws conformance/bad-listen
 */
export async function openFront({ host, port, broker, watch }: FrontOptions): Promise<Front> {
  const lines = new Set<Socket>()
  let number = 0
  const server = createServer((near) => {
    const line = number++
    lines.add(near)
    const far = connect(broker, '127.0.0.1')
    join(near, far)
    join(far, near)
    watch.opened(line)
    near.on('close', () => {
      lines.delete(near)
      watch.closed(line)
    })
    readAlong(near, {
      packet: (packet, size) => watch.packet(line, packet, size),
      unreadable: (reason) => watch.unreadable(line, reason),
    })
  })
  await listen(server, host, port)
  return {
    port: (server.address() as AddressInfo).port,
    cut() {
      for (const near of lines) near.resetAndDestroy()
    },
    async close() {
      for (const near of lines) near.destroy()
      await once(server.close(), 'close')
    },
  }
}

async function listen(server: Server, host: string, port: number): Promise<void> {
  try {
    server.listen(port, host)
    await once(server, 'listening')
  } catch (error) {
    const reason = (error as NodeJS.ErrnoException).code ?? String(error)
    const message = `cannot listen on ${host}:${port} (${reason}): choose another with --listen`
    throw new CodedError('conformance/bad-listen', message, { cause: error })
  }
}

function join(from: Socket, to: Socket): void {
  from.pipe(to)
  from.on('error', () => to.destroy())
  from.on('close', () => to.destroy())
}

function readAlong(
  socket: Socket,
  take: { packet(packet: Packet, size: number): void; unreadable(reason: string): void },
): void {
  const packets = parser({ protocolVersion: 4 })
  packets.on('packet', (packet: Packet) => take.packet(packet, sizeOf(packet.length ?? 0)))
  let readable = true
  packets.on('error', (error: Error) => {
    if (readable) take.unreadable(error.message)
    readable = false
  })
  socket.on('data', (bytes) => {
    if (readable) packets.parse(bytes)
  })
}

/** Fixed header and remaining length, MQTT 3.1.1 §2.2. */
function sizeOf(remaining: number): number {
  let size = 2 + remaining
  for (let limit = 128; remaining >= limit; limit *= 128) size++
  return size
}
