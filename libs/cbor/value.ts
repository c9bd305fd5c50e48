import { refuse } from './errors.ts'
import { readItem } from './read.ts'
import { scanItem, type CborLimits } from './scan.ts'

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

/** Exactly one data item. Byte strings in the result are copies, never views of the input. */
export function decode(bytes: Uint8Array, limits?: CborLimits): CborValue {
  const end = scanItem(bytes, 0, limits)
  if (end !== bytes.length)
    throw refuse('cbor/malformed', `${bytes.length - end} bytes follow the item`)
  return readItem(bytes, 0)
}

/** A CBOR sequence, RFC 8742: items one after the other until the input ends, possibly none. */
export function decodeSequence(bytes: Uint8Array, limits?: CborLimits): CborValue[] {
  const values: CborValue[] = []
  for (let at = 0, end: number; at < bytes.length; at = end) {
    end = scanItem(bytes, at, limits)
    values.push(readItem(bytes, at))
  }
  return values
}
