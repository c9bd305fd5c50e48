import { decode as cborgDecode, encode as cborgEncode, rfc8949EncodeOptions } from 'cborg'
import { equal } from '#bytes'
import { CodedError } from '#errors'
import { refuse } from './errors.ts'
import { DEFAULT_DEPTH, scanItem, type CborLimits } from './scan.ts'

/**
 * What travels in Fogmeter's CBOR. Numbers are integers; those outside the safe range are bigint,
 * and only those when decoded. Floats, tags and undefined have no place in it.
 */
export type CborValue =
  | number
  | bigint
  | string
  | Uint8Array
  | boolean
  | null
  | CborValue[]
  | Map<number | string, CborValue>

const decodeOptions = {
  allowIndefinite: false,
  allowUndefined: false,
  allowInfinity: false,
  allowNaN: false,
  allowBigInt: true,
  strict: true,
  useMaps: true,
  rejectDuplicateMapKeys: true,
}

/**
 * Deterministic encoding, RFC 8949 §4.2.1: shortest heads, definite lengths, map keys in bytewise
 * order of their encoding. @throws cbor/not-encodable when the value is not a `CborValue`
 */
export function encode(value: CborValue): Uint8Array {
  assertEncodable(value, 0)
  return encodeUnchecked(value)
}

/** Exactly one data item. Byte strings in the result are copies, never views of the input. */
export function decode(bytes: Uint8Array, limits?: CborLimits): CborValue {
  const end = scanItem(bytes, limits)
  if (end !== bytes.length)
    throw refuse('cbor/malformed', `${bytes.length - end} bytes follow the item`)
  return decodeScanned(bytes)
}

/** The first data item and the bytes after it (a view of the input). */
export function decodeFirst(bytes: Uint8Array, limits?: CborLimits): [CborValue, Uint8Array] {
  const end = scanItem(bytes, limits)
  return [decodeScanned(bytes.subarray(0, end)), bytes.subarray(end)]
}

/** A CBOR sequence, RFC 8742: items one after the other until the input ends, possibly none. */
export function decodeSequence(bytes: Uint8Array, limits?: CborLimits): CborValue[] {
  const values: CborValue[] = []
  let rest = bytes
  while (rest.length > 0) {
    const [value, after] = decodeFirst(rest, limits)
    values.push(value)
    rest = after
  }
  return values
}

/**
 * Comparing with the re-encoded value refuses whatever else could make two byte strings mean the
 * same: unsorted maps, and text that is not UTF-8 and decodes to replacement characters.
 */
function decodeScanned(bytes: Uint8Array): CborValue {
  // A Buffer would make cborg's slices views of the (often pooled) input instead of copies.
  const plain = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length)
  let value: CborValue
  try {
    value = cborgDecode(plain, decodeOptions) as CborValue
  } catch (error) {
    throw refuse('cbor/malformed', 'repeated map key or unreadable item', error)
  }
  if (!equal(encodeUnchecked(value), plain))
    throw refuse('cbor/not-deterministic', 'unsorted map keys, or text that is not UTF-8')
  return value
}

function encodeUnchecked(value: CborValue): Uint8Array {
  // Under Node cborg hands out Buffers from a shared pool; a copy has memory of its own, and
  // sending it to a worker thread does not take the whole pool along.
  return new Uint8Array(cborgEncode(value, rfc8949EncodeOptions))
}

function notEncodable(what: string): CodedError {
  return new CodedError('cbor/not-encodable', `${what} has no place in our CBOR`)
}

function assertEncodable(value: unknown, depth: number): void {
  if (value === null || typeof value === 'boolean' || value instanceof Uint8Array) return
  if (typeof value === 'number') {
    // cborg would write unsafe integers as floats; minus zero has no integer encoding
    if (!Number.isSafeInteger(value) || Object.is(value, -0)) throw notEncodable(`number ${value}`)
  } else if (typeof value === 'bigint') {
    if (BigInt.asIntN(65, value) !== value) throw notEncodable('an integer beyond 64 bits')
  } else if (typeof value === 'string') {
    if (!value.isWellFormed()) throw notEncodable('text with a lone surrogate')
  } else if (Array.isArray(value) || value instanceof Map) {
    assertContainer(value, depth + 1)
  } else throw notEncodable(`a value of type ${typeof value}`)
}

function assertContainer(value: unknown[] | Map<unknown, unknown>, depth: number): void {
  if (depth > DEFAULT_DEPTH) throw notEncodable(`nesting deeper than ${DEFAULT_DEPTH}`)
  if (Array.isArray(value)) {
    for (const item of value) assertEncodable(item, depth)
    return
  }
  for (const [key, item] of value) {
    if (typeof key !== 'number' && typeof key !== 'string') throw notEncodable('such a map key')
    assertEncodable(key, depth)
    assertEncodable(item, depth)
  }
}
