/** DNS messages as they travel, RFC 1035 §4 with RFC 6762 §18. */
import { decode, encode, type Packet } from 'dns-packet'

/** RFC 6762 §17. */
const LARGEST = 9_000
const HEADER = 12
/** The shortest there are: the root's name with type and class; the same with time to live and length. */
const [LEAST_QUESTION, LEAST_RECORD] = [5, 11]

/** Null for everything that is no message of multicast DNS; there is nobody to complain to. */
export function decodeMessage(bytes: Uint8Array): Packet | null {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (!countsFit(buffer) || !isPlain(buffer)) return null
  try {
    return decode(buffer)
  } catch {
    return null
  }
}

/** The decoder makes room for as many records as the header names before it looks for them. */
function countsFit(buffer: Buffer): boolean {
  if (buffer.length < HEADER || buffer.length > LARGEST) return false
  const [questions = 0, ...records] = [4, 6, 8, 10].map((at) => buffer.readUInt16BE(at))
  const least = questions * LEAST_QUESTION + records.reduce((a, b) => a + b) * LEAST_RECORD
  return HEADER + least <= buffer.length
}

/** RFC 6762 §18.3, §18.11: another opcode or response code is to be ignored. */
function isPlain(buffer: Buffer): boolean {
  return (buffer.readUInt16BE(2) & 0x78_0f) === 0
}

export function encodeMessage(message: Packet): Uint8Array {
  return encode(message)
}
