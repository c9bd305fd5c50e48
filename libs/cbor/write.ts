/**
 * The encoder. Written by hand because every statement, receipt and handshake message passes
 * through it: a general library takes five times as long. The tests hold it to cbor2 byte by byte.
 */
import { compare, utf8 } from '#bytes'
import { CodedError } from '#errors'
import { MOST_HEAD_BYTES, writeHead } from './head.ts'
import { DEFAULT_DEPTH } from './scan.ts'
import { shortLived } from './slab.ts'
import type { CborValue } from './value.ts'

const UINT = 0x00
const NEGATIVE = 0x20
const BYTES = 0x40
const TEXT = 0x60
const ARRAY = 0x80
const MAP = 0xa0
const FALSE = 0xf4
const TRUE = 0xf5
const NULL = 0xf6

const LOOP_CHARACTERS = 64

/** What is kept between calls; a larger value leaves nothing behind. */
const KEPT_BYTES = 65_536

// Reused between calls: nothing here awaits, and the result is always a copy.
let out = new Uint8Array(1024)
let at = 0

/**
 * Deterministic encoding, RFC 8949 §4.2.1: shortest heads, definite lengths, map keys in bytewise
 * order of their encoding. @throws cbor/not-encodable when the value is not a `CborValue`
 */
export function encode(value: CborValue): Uint8Array {
  at = 0
  try {
    put(value, DEFAULT_DEPTH)
    return out.slice(0, at)
  } finally {
    if (out.length > KEPT_BYTES) out = new Uint8Array(KEPT_BYTES)
  }
}

/** A CBOR sequence, RFC 8742: the items one after the other. @throws cbor/not-encodable */
export function encodeSequence(values: readonly CborValue[]): Uint8Array {
  at = 0
  try {
    for (const value of values) put(value, DEFAULT_DEPTH)
    return out.slice(0, at)
  } finally {
    if (out.length > KEPT_BYTES) out = new Uint8Array(KEPT_BYTES)
  }
}

/**
 * `before`, then `value` encoded and put into a byte string: the end of a Sig_structure (RFC 9052
 * §4.4), made at once. To be used and forgotten, see `shortLived`. @throws cbor/not-encodable
 */
export function encodeInside(before: Uint8Array, value: CborValue): Uint8Array {
  at = 0
  put(value, DEFAULT_DEPTH)
  const room = shortLived(before.length + MOST_HEAD_BYTES + at)
  room.set(before)
  const start = writeHead(room, before.length, BYTES, at)
  room.set(out.subarray(0, at), start)
  return room.subarray(0, start + at)
}

function put(value: CborValue, depth: number): void {
  if (typeof value === 'number') putNumber(value)
  else if (value instanceof Uint8Array) putString(BYTES, value)
  else if (typeof value === 'string') putText(value)
  else if (Array.isArray(value)) putArray(value, depth)
  else if (value === null) putHead(NULL, 0)
  else if (typeof value === 'boolean') putHead(value ? TRUE : FALSE, 0)
  else if (value instanceof Map) putMap(value, depth)
  else if (typeof value === 'bigint') putBigInt(value)
  else throw notEncodable(`a value of type ${typeof value}`)
}

function putNumber(value: number): void {
  // Minus zero has no integer encoding.
  if (!Number.isSafeInteger(value) || Object.is(value, -0)) throw notEncodable(`number ${value}`)
  if (value >= 0) putHead(UINT, value)
  else putHead(NEGATIVE, -1 - value)
}

/** RFC 8949 §3.1: a negative integer n is written as −1 − n. */
function putBigInt(value: bigint): void {
  if (BigInt.asIntN(65, value) !== value) throw notEncodable('an integer beyond 64 bits')
  const argument = value >= 0n ? value : -1n - value
  const majorBits = value >= 0n ? UINT : NEGATIVE
  if (argument <= BigInt(Number.MAX_SAFE_INTEGER)) return putHead(majorBits, Number(argument))
  reserve(MOST_HEAD_BYTES)
  out[at] = majorBits | 27
  new DataView(out.buffer).setBigUint64(at + 1, argument)
  at += MOST_HEAD_BYTES
}

function putText(value: string): void {
  if (putAscii(value)) return
  if (!value.isWellFormed()) throw notEncodable('text with a lone surrogate')
  putString(TEXT, utf8(value))
}

/** Names are short and plain: a loop over their letters beats a call of the text encoder. */
function putAscii(value: string): boolean {
  if (value.length > LOOP_CHARACTERS) return false
  const start = at
  putHead(TEXT, value.length)
  reserve(value.length)
  for (let i = 0; i < value.length; i++) {
    const character = value.charCodeAt(i)
    if (character > 0x7f) {
      at = start
      return false
    }
    out[at++] = character
  }
  return true
}

function putString(majorBits: number, bytes: Uint8Array): void {
  putHead(majorBits, bytes.length)
  reserve(bytes.length)
  out.set(bytes, at)
  at += bytes.length
}

function putArray(values: readonly CborValue[], depth: number): void {
  if (depth === 0) throw tooDeep()
  putHead(ARRAY, values.length)
  // Not forEach: it would leave out the holes of a sparse array, and the count would be wrong.
  for (const value of values) put(value, depth - 1)
}

/** Keys in bytewise order of their encoding, RFC 8949 §4.2.1. */
function putMap(map: ReadonlyMap<unknown, CborValue>, depth: number): void {
  if (depth === 0) throw tooDeep()
  const entries = [...map].map(([key, value]) => ({ key: encodedKey(key), value }))
  entries.sort((a, b) => compare(a.key, b.key))
  putHead(MAP, entries.length)
  for (const { key, value } of entries) {
    reserve(key.length)
    out.set(key, at)
    at += key.length
    put(value, depth - 1)
  }
}

/** Written behind what is there already, and taken away again. */
function encodedKey(key: unknown): Uint8Array {
  const start = at
  if (typeof key === 'number') putNumber(key)
  else if (typeof key === 'string') putText(key)
  else throw notEncodable('such a map key')
  const bytes = out.slice(start, at)
  at = start
  return bytes
}

function putHead(majorBits: number, argument: number): void {
  reserve(MOST_HEAD_BYTES)
  at = writeHead(out, at, majorBits, argument)
}

function reserve(bytes: number): void {
  if (at + bytes <= out.length) return
  const larger = new Uint8Array(Math.max(2 * out.length, at + bytes))
  larger.set(out.subarray(0, at))
  out = larger
}

function tooDeep(): CodedError {
  return notEncodable('a container nested deeper than we read')
}

function notEncodable(what: string): CodedError {
  return new CodedError('cbor/not-encodable', `${what} has no place in our CBOR`)
}
