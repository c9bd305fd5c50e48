/**
 * Byte-string identifiers, RFC 9528 §3.3.2: one byte that is the CBOR encoding of an integer
 * -24..23 travels as that integer, every other byte string as a CBOR byte string.
 */
import type { CborValue } from '#cbor'
import { edhocError } from './errors.ts'

function isOneByteInteger(byte: number): boolean {
  return byte <= 0x17 || (byte >= 0x20 && byte <= 0x37)
}

/** The CBOR value that represents C_I, C_R or a kid in a message. */
export function encodeIdentifier(id: Uint8Array): number | Uint8Array {
  const only = id[0]
  if (id.length !== 1 || only === undefined || !isOneByteInteger(only)) return id
  return only < 0x20 ? only : 0x1f - only
}

/** Mirrors `encodeIdentifier`; null for a value that represents no identifier. */
export function identifierFrom(value: CborValue | undefined): Uint8Array | null {
  if (typeof value === 'number')
    return value >= -24 && value <= 23 ? Uint8Array.of(value >= 0 ? value : 0x1f - value) : null
  if (!(value instanceof Uint8Array)) return null
  // §3.3.2: such a byte string MUST have been sent as an integer.
  return value.length === 1 && isOneByteInteger(value[0] ?? 0) ? null : value
}

/** As `identifierFrom`, @throws edhoc/malformed */
export function decodeIdentifier(name: string, value: CborValue | undefined): Uint8Array {
  const id = identifierFrom(value)
  if (id === null) throw edhocError('edhoc/malformed', `${name} is not an identifier`)
  return id
}
