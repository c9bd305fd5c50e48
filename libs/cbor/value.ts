import { decode as cborgDecode } from 'cborg'
import { equal } from '#bytes'
import { refuse } from './errors.ts'
import { DEFAULT_DEPTH, scanItem, type CborLimits } from './scan.ts'
import { write } from './write.ts'

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
  return write(value, DEFAULT_DEPTH)
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
  if (!equal(write(value, Infinity), plain))
    throw refuse('cbor/not-deterministic', 'unsorted map keys, or text that is not UTF-8')
  return value
}
