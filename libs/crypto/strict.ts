/**
 * Cheap checks that every Ed25519 implementation makes before the curve arithmetic, so that they
 * all follow one rule: what node:crypto accepts here, strict noble accepts too (README.md).
 */
import { toHex } from '#bytes'
import { CodedError } from '#errors'

/** @throws crypto/bad-length */
export function assertLength(what: string, bytes: Uint8Array, length: number): void {
  if (!(bytes instanceof Uint8Array) || bytes.length !== length)
    throw new CodedError('crypto/bad-length', `${what} must be ${length} bytes`)
}

// RFC 8032 §5.1, little endian: p = 2^255 − 19, and the group order L.
const P = littleEndian(2n ** 255n - 19n)
const L = littleEndian(2n ** 252n + 27742317777372353535851937790883648493n)

/** y of a point of order 8; its negative is another. Solves −y^4·d − 2y^2 + 1 = 0 (mod p). */
const Y8 = 0x05fc536d880238b13933c6d305acdfd5f098eff289f4c345b027b2c28f95e826n

const hexOf = (y: bigint) => toHex(littleEndian(y))

/** y of the two points with x = 0: the neutral element and the point of order 2. */
const X_ZERO = new Set([1n, 2n ** 255n - 20n].map(hexOf))

/** y of all eight points whose order divides 8, whatever the sign of x. */
const SMALL_ORDER = new Set([...X_ZERO, ...[0n, Y8, 2n ** 255n - 19n - Y8].map(hexOf)])

/**
 * The encoding of an Ed25519 public key: 32 bytes, y below p, not of small order. A key of small
 * order verifies signatures nobody made, over every message at once.
 * @throws crypto/bad-public-key
 */
export function requireStrictKey(publicKey: Uint8Array): void {
  if (!(publicKey instanceof Uint8Array) || publicKey.length !== 32) throw bad('must be 32 bytes')
  const y = withoutSign(publicKey)
  if (!isBelow(y, P)) throw bad('is not in canonical form')
  if (SMALL_ORDER.has(toHex(y))) throw bad('has small order')
}

/** 64 bytes, the point R in canonical form, the scalar S below the group order. */
export function isStrictSignature(signature: Uint8Array): boolean {
  if (!(signature instanceof Uint8Array) || signature.length !== 64) return false
  const y = withoutSign(signature)
  if (!isBelow(y, P) || !isBelow(signature, L, 32)) return false
  // RFC 8032 §5.1.3 step 4: where x is zero its sign bit must be too
  return signature[31] === y[31] || !X_ZERO.has(toHex(y))
}

function bad(why: string): CodedError {
  return new CodedError('crypto/bad-public-key', `public key ${why}`)
}

function littleEndian(value: bigint): Uint8Array {
  const out = new Uint8Array(32)
  for (let i = 0; i < 32; i++) out[i] = Number((value >> BigInt(8 * i)) & 255n)
  return out
}

/** The y coordinate: a point's encoding without the sign of x in its top bit (RFC 8032 §5.1.2). */
function withoutSign(point: Uint8Array): Uint8Array {
  const y = point.slice(0, 32)
  y[31] = (y[31] as number) & 0x7f
  return y
}

/** a < b, 32 bytes little endian from `at` in a. Public values: no need for constant time. */
function isBelow(a: Uint8Array, b: Uint8Array, at = 0): boolean {
  for (let i = 31; i >= 0; i--) {
    const difference = (a[at + i] as number) - (b[i] as number)
    if (difference !== 0) return difference < 0
  }
  return false
}
