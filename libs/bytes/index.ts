/** Small helpers on byte strings that need no runtime but the language itself. */
import { CodedError } from '#errors'

export { addChecksum, dropChecksum, hasChecksum, unflip } from './checksum.ts'
export { fromUtf8, utf8 } from './utf8.ts'

/** '00' to 'ff'. */
const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'))
const BASE64URL = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'

/** All parts in one new array. */
export function concat(...parts: Uint8Array[]): Uint8Array {
  let length = 0
  for (const part of parts) length += part.length
  const out = new Uint8Array(length)
  let at = 0
  for (const part of parts) {
    out.set(part, at)
    at += part.length
  }
  return out
}

/** Same length and same bytes. Takes as long as it takes: not for comparing secrets. */
export function equal(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false
  return true
}

/** Bytewise lexicographic order: negative, zero or positive; a prefix sorts before the longer one. */
export function compare(a: Uint8Array, b: Uint8Array): number {
  const shorter = Math.min(a.length, b.length)
  for (let i = 0; i < shorter; i++) {
    const difference = (a[i] as number) - (b[i] as number)
    if (difference !== 0) return difference
  }
  return a.length - b.length
}

/** Lower-case hexadecimal. */
export function toHex(bytes: Uint8Array): string {
  let text = ''
  for (let i = 0; i < bytes.length; i++) text += HEX[bytes[i] as number]
  return text
}

/** Hexadecimal in either case, nothing else. @throws bytes/bad-hex */
export function fromHex(text: string): Uint8Array {
  if (!/^(?:[0-9a-fA-F]{2})*$/.test(text))
    throw new CodedError('bytes/bad-hex', 'not an even number of hexadecimal digits')
  const out = new Uint8Array(text.length / 2)
  for (let i = 0; i < out.length; i++) out[i] = Number.parseInt(text.slice(2 * i, 2 * i + 2), 16)
  return out
}

/** base64url without padding, RFC 4648 §5. */
export function toBase64Url(bytes: Uint8Array): string {
  let text = ''
  let [bits, count] = [0, 0]
  for (const byte of bytes) {
    bits = ((bits << 8) | byte) & 0xffff
    count += 8
    while (count >= 6) {
      count -= 6
      text += BASE64URL.charAt((bits >> count) & 63)
    }
  }
  if (count > 0) text += BASE64URL.charAt((bits << (6 - count)) & 63)
  return text
}

/**
 * The one spelling `toBase64Url` produces; padding, other alphabets and loose trailing bits are
 * refused, so that equal bytes always mean equal text. @throws bytes/bad-base64url
 */
export function fromBase64Url(text: string): Uint8Array {
  const out = new Uint8Array(Math.floor((text.length * 6) / 8))
  let [bits, count, at] = [0, 0, 0]
  for (const character of text) {
    const value = BASE64URL.indexOf(character)
    if (value < 0) throw new CodedError('bytes/bad-base64url', 'a character outside base64url')
    bits = ((bits << 6) | value) & 0xffff
    count += 6
    if (count >= 8) {
      count -= 8
      out[at++] = (bits >> count) & 255
    }
  }
  const looseBits = bits & ((1 << count) - 1)
  if (count >= 6 || looseBits !== 0)
    throw new CodedError('bytes/bad-base64url', 'text does not end on a whole byte')
  return out
}
