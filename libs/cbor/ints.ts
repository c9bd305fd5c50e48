/**
 * The hot path: arrays of integers and null, as every live reading is. Written by hand because it
 * runs once per message; the tests hold it to exactly what `encode` and `decode` do.
 */
import { CodedError } from '#errors'
import { refuse } from './errors.ts'
import { MOST_HEAD_BYTES, writeHead } from './head.ts'
import { DEFAULT_SIZE } from './scan.ts'

const NULL = 0xf6

// Reused between calls: nothing here awaits, and the result is always a copy.
let scratch = new Uint8Array(1024)

/**
 * A CBOR array of integers and nulls, the same bytes as `encode(values)`.
 * @throws cbor/not-encodable for anything but safe integers and null
 */
export function encodeInts(values: readonly (number | null)[]): Uint8Array {
  const most = MOST_HEAD_BYTES * (values.length + 1)
  if (scratch.length < most) scratch = new Uint8Array(most)
  return scratch.slice(0, writeInts(scratch, 0, values))
}

/**
 * `encodeInts` into `out` from `start` on, which must have room for nine bytes a value and nine more;
 * returns where it ends. @throws cbor/not-encodable
 */
export function writeInts(
  out: Uint8Array,
  start: number,
  values: readonly (number | null)[],
): number {
  let at = writeHead(out, start, 0x80, values.length)
  for (const value of values) {
    if (value === null) out[at++] = NULL
    else if (!Number.isSafeInteger(value) || Object.is(value, -0))
      throw new CodedError('cbor/not-encodable', `${value} is not an integer we can send`)
    else if (value >= 0) at = writeHead(out, at, 0x00, value)
    else at = writeHead(out, at, 0x20, -1 - value)
  }
  return at
}

/**
 * Mirrors `encodeInts`: accepts what `decode` accepts, if it is an array of safe integers and null.
 * @throws cbor/malformed, cbor/not-deterministic, cbor/too-large
 */
export function decodeInts(bytes: Uint8Array, maximumSize = DEFAULT_SIZE): (number | null)[] {
  if (bytes.length > maximumSize)
    throw refuse('cbor/too-large', `${bytes.length} bytes; at most ${maximumSize} are read`)
  const initial = bytes[0] ?? 0
  if (initial >> 5 !== 4) throw refuse('cbor/malformed', 'not an array')
  const count = readArgument(bytes, 0)
  let at = headLength(initial)
  if (count > bytes.length - at) throw refuse('cbor/malformed', 'array is cut short')
  const values: (number | null)[] = []
  for (let i = 0; i < count; i++) {
    const head = bytes[at] ?? 0xff
    if (head < 24) values.push(head)
    else if (head === NULL) values.push(null)
    else values.push(readInteger(bytes, at, head))
    at += headLength(head)
  }
  if (at !== bytes.length) throw refuse('cbor/malformed', `${bytes.length - at} bytes follow`)
  return values
}

function headLength(initial: number): number {
  const info = initial & 31
  return info < 24 || initial === NULL ? 1 : 1 + (1 << (info - 24))
}

function readInteger(bytes: Uint8Array, at: number, head: number): number {
  if (head >= 0x40) throw refuse('cbor/malformed', `neither integer nor null at byte ${at}`)
  const argument = readArgument(bytes, at)
  const value = head < 0x20 ? argument : -1 - argument
  if (!Number.isSafeInteger(value)) throw refuse('cbor/malformed', `unsafe integer at byte ${at}`)
  return value
}

function readArgument(bytes: Uint8Array, at: number): number {
  const info = (bytes[at] as number) & 31
  if (info < 24) return info
  if (info === 31) throw refuse('cbor/not-deterministic', `indefinite length at byte ${at}`)
  if (info > 27) throw refuse('cbor/malformed', `reserved head at byte ${at}`)
  const width = 1 << (info - 24)
  if (at + width >= bytes.length) throw refuse('cbor/malformed', `head at byte ${at} is cut short`)
  let argument = 0
  for (let i = at + 1; i <= at + width; i++) argument = argument * 256 + (bytes[i] as number)
  if (argument < (width === 1 ? 24 : 256 ** (width / 2)))
    throw refuse('cbor/not-deterministic', `longer head than needed at byte ${at}`)
  return argument
}
