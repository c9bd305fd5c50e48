/**
 * Builds values from bytes that `scanItem` has passed: well-formed, no deeper than allowed, heads in
 * their shortest form, only types we use. Left to be judged here is what needs more than one head:
 * the order of map keys, and whether text is UTF-8.
 */
import { fromUtf8 } from '#bytes'
import { refuse } from './errors.ts'
import type { CborValue } from './value.ts'

const LOOP_CHARACTERS = 64

const NOTHING = new Uint8Array()

// The item being read and how far; nothing here awaits.
let input: Uint8Array = NOTHING
let at = 0

/**
 * The item that begins at `start`. Byte strings in it are copies.
 * @throws cbor/not-deterministic, cbor/malformed
 */
export function readItem(bytes: Uint8Array, start: number): CborValue {
  input = bytes
  at = start
  try {
    return read()
  } finally {
    input = NOTHING
  }
}

function read(): CborValue {
  const initial = input[at] as number
  switch (initial >> 5) {
    case 0:
      return readUint()
    case 1:
      return readNegative()
    case 2:
      return readBytes()
    case 3:
      return readText()
    case 4:
      return readArray()
    case 5:
      return readMap()
    default:
      at += 1
      return initial === 0xf6 ? null : initial === 0xf5
  }
}

/** Consumes a head; exact below 2^53. */
function readArgument(): number {
  const info = (input[at++] as number) & 31
  if (info < 24) return info
  const end = at + (1 << (info - 24))
  let argument = 0
  while (at < end) argument = argument * 256 + (input[at++] as number)
  return argument
}

function readUint(): number | bigint {
  const argument = readArgument()
  return argument <= Number.MAX_SAFE_INTEGER ? argument : lastEightBytes()
}

/** RFC 8949 §3.1: argument n stands for −1 − n. */
function readNegative(): number | bigint {
  const argument = readArgument()
  return argument < Number.MAX_SAFE_INTEGER ? -1 - argument : -1n - lastEightBytes()
}

function lastEightBytes(): bigint {
  return new DataView(input.buffer, input.byteOffset + at - 8).getBigUint64(0)
}

function readBytes(): Uint8Array {
  const length = readArgument()
  const copy = new Uint8Array(length)
  copy.set(input.subarray(at, at + length))
  at += length
  return copy
}

/** Names are short and plain: a loop over their letters beats a call of the text decoder. */
function readText(): string {
  const length = readArgument()
  const end = at + length
  let text = ''
  if (length <= LOOP_CHARACTERS) {
    let i = at
    while (i < end && (input[i] as number) < 0x80) text += String.fromCharCode(input[i++] as number)
    if (i === end) {
      at = end
      return text
    }
  }
  try {
    text = fromUtf8(input.subarray(at, end))
  } catch (error) {
    throw refuse('cbor/not-deterministic', 'text that is not UTF-8', error)
  }
  at = end
  return text
}

function readArray(): CborValue[] {
  const length = readArgument()
  const values: CborValue[] = []
  for (let i = 0; i < length; i++) values.push(read())
  return values
}

function readMap(): Map<number | string, CborValue> {
  const length = readArgument()
  const map = new Map<number | string, CborValue>()
  let [previous, previousEnd] = [at, at]
  for (let i = 0; i < length; i++) {
    const start = at
    const key = read() as number | string // scanItem lets nothing else be a key
    if (i > 0) requireAscending(previous, previousEnd, start)
    previous = start
    previousEnd = at
    map.set(key, read())
  }
  return map
}

/** RFC 8949 §4.2.1: keys in bytewise order of their encoding. Both end where their heads say. */
function requireAscending(previous: number, previousEnd: number, start: number): void {
  for (let i = 0; previous + i < previousEnd && start + i < at; i++) {
    const difference = (input[start + i] as number) - (input[previous + i] as number)
    if (difference > 0) return
    if (difference < 0) throw refuse('cbor/not-deterministic', 'unsorted map keys')
  }
  // An encoding is never the beginning of a longer one, so these are equal.
  throw refuse('cbor/malformed', 'repeated map key')
}
