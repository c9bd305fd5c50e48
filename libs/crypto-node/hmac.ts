/**
 * HMAC and HKDF on node's one-shot hash. For inputs as short as ours, making node's own Hmac object
 * takes ten times as long as hashing, and a hash in JavaScript twice as long.
 */
import { hash } from 'node:crypto'
import { CodedError } from '#errors'

const HASH_LENGTH = 32
/** Of SHA-256: what a key is padded to. */
const BLOCK_LENGTH = 64
const HKDF_LONGEST = 255 * HASH_LENGTH

const [INNER, OUTER] = [0x36, 0x5c]

// Reused, because getting memory takes longer than hashing; wiped after use, and nothing here awaits.
const outer = Buffer.alloc(BLOCK_LENGTH + HASH_LENGTH)
const shared = new Uint8Array(1_024)

/** RFC 2104 §2. `inner` begins with a block for the padded key, the message stands behind it. */
function hmac(key: Uint8Array, inner: Uint8Array): Uint8Array {
  const short = key.length > BLOCK_LENGTH ? hash('sha256', key, 'buffer') : key
  for (let i = 0; i < BLOCK_LENGTH; i++) {
    const byte = i < short.length ? (short[i] as number) : 0
    inner[i] = INNER ^ byte
    outer[i] = OUTER ^ byte
  }
  // As a string, which is cheaper and cannot be wiped: without the key this half says nothing.
  outer.write(hash('sha256', inner, 'binary'), BLOCK_LENGTH, 'binary')
  const mac = hash('sha256', outer, 'buffer') // in memory of its own
  outer.fill(0)
  inner.fill(0)
  return new Uint8Array(mac.buffer, mac.byteOffset, HASH_LENGTH)
}

function room(length: number): Uint8Array {
  return length <= shared.length ? shared.subarray(0, length) : new Uint8Array(length)
}

export function hmacSha256(key: Uint8Array, data: Uint8Array): Uint8Array {
  const inner = room(BLOCK_LENGTH + data.length)
  inner.set(data, BLOCK_LENGTH)
  return hmac(key, inner)
}

/** RFC 5869 §2.2. */
export function hkdfExtract(salt: Uint8Array, ikm: Uint8Array): Uint8Array {
  return hmacSha256(salt, ikm)
}

/** RFC 5869 §2.3: T(i) = HMAC( PRK, T(i − 1) ‖ info ‖ i ), T(0) empty. */
export function hkdfExpand(prk: Uint8Array, info: Uint8Array, length: number): Uint8Array {
  if (prk.length < HASH_LENGTH)
    throw new CodedError('crypto/bad-length', 'prk must be at least 32 bytes')
  if (!Number.isInteger(length) || length < 0 || length > HKDF_LONGEST)
    throw new CodedError('crypto/bad-length', `HKDF gives 0 to ${HKDF_LONGEST} bytes`)
  const okm = new Uint8Array(length)
  let before: Uint8Array = new Uint8Array()
  for (let at = 0, i = 1; at < length; at += HASH_LENGTH, i++) {
    const infoAt = BLOCK_LENGTH + before.length
    const inner = room(infoAt + info.length + 1)
    inner.set(before, BLOCK_LENGTH)
    inner.set(info, infoAt)
    inner[inner.length - 1] = i
    before.fill(0)
    before = hmac(prk, inner)
    okm.set(length - at < HASH_LENGTH ? before.subarray(0, length - at) : before, at)
  }
  before.fill(0)
  return okm
}
