/**
 * UTF-8 (RFC 3629) in the language itself: not every runtime of a small meter has the encoders that
 * browsers and Node have.
 */
import { CodedError } from '#errors'

/** Characters are put together in pieces: `fromCodePoint` takes them as arguments. */
const PIECE = 1_024

/** Text as UTF-8. A lone surrogate becomes U+FFFD, as everywhere in the Encoding Standard. */
export function utf8(text: string): Uint8Array {
  const bytes: number[] = []
  for (const character of text.toWellFormed()) putPoint(bytes, character.codePointAt(0)!)
  return Uint8Array.from(bytes)
}

function putPoint(bytes: number[], point: number): void {
  if (point < 0x80) bytes.push(point)
  else if (point < 0x800) bytes.push(0xc0 | (point >> 6), tail(point))
  else if (point < 0x1_0000) bytes.push(0xe0 | (point >> 12), tail(point >> 6), tail(point))
  else bytes.push(0xf0 | (point >> 18), tail(point >> 12), tail(point >> 6), tail(point))
}

function tail(bits: number): number {
  return 0x80 | (bits & 0x3f)
}

/** UTF-8 as text, a leading U+FEFF included. @throws bytes/bad-utf8 */
export function fromUtf8(bytes: Uint8Array): string {
  let text = ''
  let points: number[] = []
  for (let at = 0; at < bytes.length;) {
    const length = sequenceLength(bytes, at)
    if (length === 0) throw new CodedError('bytes/bad-utf8', 'bytes are not valid UTF-8')
    points.push(pointAt(bytes, at, length))
    at += length
    if (points.length < PIECE && at < bytes.length) continue
    text += String.fromCodePoint(...points)
    points = []
  }
  return text
}

/** How many bytes make the character at `at`, 0 when they make none (RFC 3629 §4). */
function sequenceLength(bytes: Uint8Array, at: number): number {
  const lead = bytes[at]!
  if (lead < 0x80) return 1
  const length = lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf5 ? 4 : 0
  // The second byte is where longer forms than needed, surrogates and what lies above U+10FFFF show.
  const low = lead === 0xe0 ? 0xa0 : lead === 0xf0 ? 0x90 : 0x80
  const high = lead === 0xed ? 0x9f : lead === 0xf4 ? 0x8f : 0xbf
  for (let i = 1; i < length; i++) {
    const byte = bytes[at + i] ?? 0
    if (byte < (i === 1 ? low : 0x80) || byte > (i === 1 ? high : 0xbf)) return 0
  }
  return length
}

function pointAt(bytes: Uint8Array, at: number, length: number): number {
  const lead = bytes[at]!
  if (length === 1) return lead
  let point = lead & (0x7f >> length)
  for (let i = 1; i < length; i++) point = (point << 6) | (bytes[at + i]! & 0x3f)
  return point
}
