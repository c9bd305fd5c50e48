import { CodedError } from '#errors'

/** A value of SML's type-length encoding (SML §6); null where an optional one was left out. */
export type SmlValue = Uint8Array | boolean | bigint | SmlValue[] | null

const types = { octets: 0, boolean: 4, signed: 5, unsigned: 6, list: 7 } as const
const LEFT_OUT = 0x01
export const END_OF_MESSAGE = 0x00
/** Messages nest seven deep. */
const MAX_DEPTH = 16

/** A value and where the next one begins. */
export interface Read<T> {
  value: T
  next: number
}

/** The value at `at`. Throws `sml/malformed`. */
export function readValue(bytes: Uint8Array, at: number, depth = 0): Read<SmlValue> {
  if (bytes[at] === LEFT_OUT) return { value: null, next: at + 1 }
  const head = readHead(bytes, at)
  if (head.type === types.list) return readList(bytes, head, depth)
  const next = at + head.length
  if (next < head.next || next > bytes.length) throw malformed('a value longer than its file')
  const content = bytes.subarray(head.next, next)
  return { value: valueOf(head.type, content), next }
}

function readHead(bytes: Uint8Array, at: number) {
  const type = ((bytes[at] ?? 0) >> 4) & 7
  let length = 0
  let next = at
  for (let more = true; more; next++) {
    const byte = bytes[next]
    if (byte === undefined || next - at > 3) throw malformed('a value without an end')
    length = length * 16 + (byte & 15)
    more = (byte & 0x80) !== 0
  }
  return { type, length, next }
}

function readList(
  bytes: Uint8Array,
  head: { length: number; next: number },
  depth: number,
): Read<SmlValue[]> {
  if (depth >= MAX_DEPTH) throw malformed('lists nested too deep')
  const value: SmlValue[] = []
  let { next } = head
  for (let index = 0; index < head.length; index++) {
    const item = readValue(bytes, next, depth + 1)
    value.push(item.value)
    next = item.next
  }
  return { value, next }
}

function valueOf(type: number, content: Uint8Array): SmlValue {
  if (type === types.octets) return content
  if (type === types.boolean && content.length === 1) return content[0] !== 0
  const number = type === types.signed || type === types.unsigned
  if (!number || content.length < 1 || content.length > 8) {
    throw malformed(`type ${type} with ${content.length} bytes`)
  }
  const plain = content.reduce((sum, byte) => sum * 256n + BigInt(byte), 0n)
  // Meters leave leading bytes out, so the sign is the first bit of what was sent.
  return type === types.signed ? BigInt.asIntN(8 * content.length, plain) : plain
}

export function malformed(message: string): CodedError {
  return new CodedError('sml/malformed', `not an SML file: ${message}`)
}
