/** ChaCha20-Poly1305, RFC 8439 §2.8. */
import { concat } from '#bytes'
import { fromBytes, toBytes } from './field.ts'

const TAG_BYTES = 16
/** §2.3: 'expand 32-byte k'. */
const CONSTANTS = [0x61707865, 0x3320646e, 0x79622d32, 0x6b206574]
const P1305 = 2n ** 130n - 5n
/** §2.5.1. */
const CLAMP = 0x0ffffffc0ffffffc0ffffffc0fffffffn

/** §2.1. */
function quarter(s: Uint32Array, a: number, b: number, c: number, d: number): void {
  mix(s, a, b, d, 16)
  mix(s, c, d, b, 12)
  mix(s, a, b, d, 8)
  mix(s, c, d, b, 7)
}

function mix(s: Uint32Array, sum: number, term: number, turned: number, bits: number): void {
  s[sum]! += s[term]!
  const word = s[turned]! ^ s[sum]!
  s[turned] = (word << bits) | (word >>> (32 - bits))
}

/** §2.3: 64 bytes of key stream. */
function block(key: Uint8Array, counter: number, nonce: Uint8Array): Uint8Array {
  const start = new Uint32Array(16)
  const view = new DataView(concat(key, nonce).buffer)
  start.set(CONSTANTS)
  for (let i = 0; i < 8; i++) start[4 + i] = view.getUint32(4 * i, true)
  start[12] = counter
  for (let i = 0; i < 3; i++) start[13 + i] = view.getUint32(32 + 4 * i, true)
  const s = start.slice()
  for (let round = 0; round < 10; round++) {
    for (let i = 0; i < 4; i++) quarter(s, i, 4 + i, 8 + i, 12 + i)
    for (let i = 0; i < 4; i++)
      quarter(s, i, 4 + ((i + 1) & 3), 8 + ((i + 2) & 3), 12 + ((i + 3) & 3))
  }
  const out = new Uint8Array(64)
  const result = new DataView(out.buffer)
  for (let i = 0; i < 16; i++) result.setUint32(4 * i, s[i]! + start[i]!, true)
  return out
}

/** §2.4, from block 1 on: block 0 makes the key of the tag. */
function encrypted(key: Uint8Array, nonce: Uint8Array, text: Uint8Array): Uint8Array {
  const out = Uint8Array.from(text)
  for (let at = 0; at < text.length; at += 64) {
    const stream = block(key, 1 + at / 64, nonce)
    const end = Math.min(text.length, at + 64)
    for (let i = at; i < end; i++) out[i]! ^= stream[i - at]!
  }
  return out
}

/** §2.5. */
function poly1305(key: Uint8Array, message: Uint8Array): Uint8Array {
  const r = fromBytes(key.subarray(0, 16)) & CLAMP
  let sum = 0n
  for (let at = 0; at < message.length; at += 16) {
    const part = message.subarray(at, at + 16)
    sum = ((sum + fromBytes(part) + (1n << BigInt(8 * part.length))) * r) % P1305
  }
  return toBytes(sum + fromBytes(key.subarray(16, 32)), TAG_BYTES)
}

/** §2.8: zeros up to a multiple of 16. */
function pad({ length }: Uint8Array): Uint8Array {
  return new Uint8Array((16 - (length % 16)) % 16)
}

function tagOf(key: Uint8Array, nonce: Uint8Array, aad: Uint8Array, text: Uint8Array): Uint8Array {
  const lengths = new Uint8Array(16)
  const view = new DataView(lengths.buffer)
  view.setUint32(0, aad.length, true)
  view.setUint32(8, text.length, true)
  const message = concat(aad, pad(aad), text, pad(text), lengths)
  return poly1305(block(key, 0, nonce), message)
}

export function seal(
  key: Uint8Array,
  nonce: Uint8Array,
  aad: Uint8Array,
  plaintext: Uint8Array,
): Uint8Array {
  const text = encrypted(key, nonce, plaintext)
  return concat(text, tagOf(key, nonce, aad, text))
}

/** Null: not made with this key, nonce and aad. */
export function open(
  key: Uint8Array,
  nonce: Uint8Array,
  aad: Uint8Array,
  ciphertext: Uint8Array,
): Uint8Array | null {
  const end = ciphertext.length - TAG_BYTES
  if (end < 0) return null
  const text = ciphertext.subarray(0, end)
  const tag = tagOf(key, nonce, aad, text)
  let difference = 0
  for (let i = 0; i < TAG_BYTES; i++) difference |= tag[i]! ^ ciphertext[end + i]!
  return difference === 0 ? encrypted(key, nonce, text) : null
}
