import { encodeInts, type CborValue } from '#cbor'
import { CodedError } from '#errors'

/** An array as decoded, whose elements still have to be looked at. */
export type Fields = readonly CborValue[]

const CODE = /^[a-z0-9][a-z0-9/-]{0,63}$/

export function malformed(message: string): CodedError {
  return new CodedError('messages/malformed', message)
}

/** `value` as an array of `min` to `max` elements. */
export function fieldsOf(value: CborValue, name: string, min: number, max = min): Fields {
  if (Array.isArray(value) && value.length >= min && value.length <= max) return value
  throw malformed(`${name} must be an array of ${min}${max === min ? '' : ` to ${max}`} elements`)
}

/** The integer at `index`, from `min` to 2^53 − 1. */
export function integer(fields: Fields, index: number, min = 0): number {
  const value = fields[index]
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= min) return value
  throw malformed(`element ${index} must be an integer of at least ${min}`)
}

/** Like `integer`, or null. */
export function integerOrNull(fields: Fields, index: number, min = 0): number | null {
  return fields[index] === null ? null : integer(fields, index, min)
}

export function bytes(fields: Fields, index: number): Uint8Array {
  const value = fields[index]
  if (value instanceof Uint8Array) return value
  throw malformed(`element ${index} must be a byte string`)
}

/** Text of at most `maxBytes` UTF-8 bytes. */
export function text(fields: Fields, index: number, maxBytes: number): string {
  const value = fields[index]
  // A character is at most three bytes per UTF-16 unit, so most texts need no counting.
  if (typeof value === 'string' && value.length <= maxBytes && utf8Length(value) <= maxBytes) {
    return value
  }
  throw malformed(`element ${index} must be a text of at most ${maxBytes} bytes`)
}

function utf8Length(value: string): number {
  let length = 0
  for (const character of value) {
    const point = character.codePointAt(0)!
    length += point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4
  }
  return length
}

/** A stable code such as `reading/bad-value` or `gap`: lower-case words joined by - and /. */
export function code(fields: Fields, index: number): string {
  const value = fields[index]
  if (typeof value === 'string' && CODE.test(value)) return value
  throw malformed(`element ${index} must be a code of lower-case letters, digits, - and /`)
}

/** The type number an array starts with. */
export function typeOf(value: CborValue): number {
  if (!Array.isArray(value)) throw malformed('a message is an array')
  return integer(value, 0)
}

/** `[type, …values]`, all integers or null. */
export function encodeTypedInts(type: number, values: readonly (number | null)[]): Uint8Array {
  return encodeInts([type, ...values])
}
