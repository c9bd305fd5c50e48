import type { Socket } from 'node:net'

/** Whole MQTT packets of a stream, one by one (MQTT 3.1.1 §2.2). */
export function splitPackets(socket: Socket, take: (packet: Buffer) => void): void {
  let waiting = Buffer.alloc(0)
  socket.on('data', (bytes) => {
    waiting = Buffer.concat([waiting, bytes])
    for (let size = sizeOf(waiting); size <= waiting.length; size = sizeOf(waiting)) {
      take(Buffer.from(waiting.subarray(0, size)))
      waiting = waiting.subarray(size)
    }
  })
}

/** Bytes of the first packet, Infinity while that is not known. */
function sizeOf(bytes: Buffer): number {
  let length = 0
  for (let at = 1; at < bytes.length && at <= 4; at++) {
    const byte = bytes[at] as number
    length += (byte & 0x7f) * 2 ** (7 * (at - 1))
    if (byte < 0x80) return at + 1 + length
  }
  return Infinity
}
