/** What a topic longer than any of ours would need: MQTT's own limit (MQTT 3.1.1 §1.5.3). */
const MAX_TOPIC_BYTES = 65_535

/**
 * A PUBLISH packet at QoS 0 (MQTT 3.1.1 §3.3) as one piece: handing a socket the parts, as general
 * writers do, costs more than everything else about a receipt. Topics here are plain ASCII.
 */
export function encodePublish(topic: string, payload: Uint8Array): Buffer {
  if (topic.length > MAX_TOPIC_BYTES) throw new RangeError('a topic is too long')
  const remaining = 2 + topic.length + payload.length
  const lengthBytes = remaining < 0x80 ? 1 : remaining < 0x4000 ? 2 : remaining < 0x20_0000 ? 3 : 4
  const packet = Buffer.allocUnsafe(1 + lengthBytes + remaining)
  packet[0] = 0x30
  let at = writeRemainingLength(packet, remaining)
  at = packet.writeUInt16BE(topic.length, at)
  at += packet.write(topic, at, 'latin1')
  packet.set(payload, at)
  return packet
}

/** §2.2.3: seven bits a byte, lowest first. Returns where it ends. */
function writeRemainingLength(packet: Buffer, remaining: number): number {
  let at = 1
  let left = remaining
  while (left >= 0x80) {
    packet[at++] = (left & 0x7f) | 0x80
    left >>>= 7
  }
  packet[at++] = left
  return at
}
