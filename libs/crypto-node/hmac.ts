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
const outer = Buffer.alloc(BLOCK_LENGTH + HASH_LENGTH)

/** RFC 2104 §2. `inner` begins with a block for the padded key, the message stands behind it. */
function hmac(key: Uint8Array, inner: Uint8Array): Buffer {
  const short = key.length > BLOCK_LENGTH ? hash('sha256', key, 'buffer') : key
  inner.fill(INNER, 0, BLOCK_LENGTH)
  outer.fill(OUTER, 0, BLOCK_LENGTH)
  for (let i = 0; i < short.length; i++) {
    const byte = short[i] as number
    inner[i] = INNER ^ byte
    outer[i] = OUTER ^ byte
  }
  // As a string, which is cheaper and cannot be wiped: without the key this half says nothing.
  outer.write(hash('sha256', inner, 'binary'), BLOCK_LENGTH, 'binary')
  const mac = hash('sha256', outer, 'buffer')
  outer.fill(0)
  inner.fill(0, 0, BLOCK_LENGTH)
  return mac
}

export function hmacSha256(key: Uint8Array, data: Uint8Array): Uint8Array {
  const inner = new Uint8Array(BLOCK_LENGTH + data.length)
  inner.set(data, BLOCK_LENGTH)
  return new Uint8Array(hmac(key, inner))
}

/** RFC 5869 §2.2. */
export function hkdfExtract(salt: Uint8Array, ikm: Uint8Array): Uint8Array {
  const inner = new Uint8Array(BLOCK_LENGTH + ikm.length)
  inner.set(ikm, BLOCK_LENGTH)
  const prk = new Uint8Array(hmac(salt, inner))
  inner.fill(0)
  return prk
}

/** RFC 5869 §2.3: T(i) = HMAC( PRK, T(i − 1) ‖ info ‖ i ), T(0) empty. */
export function hkdfExpand(prk: Uint8Array, info: Uint8Array, length: number): Uint8Array {
  if (prk.length < HASH_LENGTH)
    throw new CodedError('crypto/bad-length', 'prk must be at least 32 bytes')
  if (!Number.isInteger(length) || length < 0 || length > HKDF_LONGEST)
    throw new CodedError('crypto/bad-length', `HKDF gives 0 to ${HKDF_LONGEST} bytes`)
  const okm = new Uint8Array(length)
  const first = BLOCK_LENGTH + HASH_LENGTH
  const whole = new Uint8Array(first + info.length + 1)
  whole.set(info, first)
  for (let at = 0, i = 1; at < length; at += HASH_LENGTH, i++) {
    whole[whole.length - 1] = i
    // Nothing stands before `info` the first time.
    const inner = i === 1 ? whole.subarray(HASH_LENGTH) : whole
    if (i > 1) whole.set(okm.subarray(at - HASH_LENGTH, at), BLOCK_LENGTH)
    const t = hmac(prk, inner)
    okm.set(t.subarray(0, length - at), at)
    t.fill(0)
  }
  whole.fill(0)
  return okm
}
