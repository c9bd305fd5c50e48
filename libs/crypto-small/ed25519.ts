/** RFC 8032 §5.1, and the rule of #crypto for signatures (its README). */
import { concat } from '#bytes'
import { isStrictSignature } from '#crypto'
import { fromBytes, inverse, mod, P, power, toBytes } from './field.ts'
import { sha512 } from './sha2.ts'

/** Extended coordinates: x = X/Z, y = Y/Z, x·y = T/Z. */
type Point = readonly [X: bigint, Y: bigint, Z: bigint, T: bigint]

/** Order of the group. */
const L = 2n ** 252n + 27742317777372353535851937790883648493n
const D = mod(-121665n * inverse(121666n))
const ROOT_OF_MINUS_ONE = power(2n, (P - 1n) / 4n)
const ZERO: Point = [0n, 1n, 1n, 0n]
/** y = 4/5, x even. */
const BASE = decode(toBytes(mod(4n * inverse(5n)))) as Point

/** §5.1.4; holds for any two points, equal ones too. */
function add([x1, y1, z1, t1]: Point, [x2, y2, z2, t2]: Point): Point {
  const a = (y1 - x1) * (y2 - x2)
  const b = (y1 + x1) * (y2 + x2)
  const c = 2n * ((t1 * t2) % P) * D
  const d = 2n * z1 * z2
  const [e, f, g, h] = [mod(b - a), mod(d - c), mod(d + c), mod(b + a)]
  return [(e * f) % P, (g * h) % P, (f * g) % P, (e * h) % P]
}

function negate([x, y, z, t]: Point): Point {
  return [P - x, y, z, P - t]
}

/** The same additions whatever the scalar is. */
function multiply(scalar: bigint, point: Point): Point {
  let result = ZERO
  for (let bit = 255n; bit >= 0n; bit--) {
    const double = add(result, result)
    const more = add(double, point)
    result = ((scalar >> bit) & 1n) === 1n ? more : double
  }
  return result
}

/** a·A + b·B, of public values. */
function multiplyTwo(a: bigint, A: Point, b: bigint, B: Point): Point {
  const both = add(A, B)
  let result = ZERO
  for (let bit = 255n; bit >= 0n; bit--) {
    result = add(result, result)
    const choice = ((a >> bit) & 1n) + 2n * ((b >> bit) & 1n)
    if (choice !== 0n) result = add(result, choice === 1n ? A : choice === 2n ? B : both)
  }
  return result
}

function isZero([x, y, z]: Point): boolean {
  return mod(x) === 0n && mod(y - z) === 0n
}

function timesEight(point: Point): Point {
  const two = add(point, point)
  const four = add(two, two)
  return add(four, four)
}

function encode([x, y, z]: Point): Uint8Array {
  const inverseZ = inverse(z)
  const out = toBytes(mod(y * inverseZ))
  out[31]! |= Number(mod(x * inverseZ) & 1n) << 7
  return out
}

/** §5.1.3; null when it is no point. */
function decode(bytes: Uint8Array): Point | null {
  const number = fromBytes(bytes)
  const y = number & (2n ** 255n - 1n)
  const odd = number >> 255n
  if (y >= P) return null
  const square = mod((y * y - 1n) * inverse(D * y * y + 1n))
  let x = power(square, (P + 3n) / 8n)
  if (mod(x * x - square) !== 0n) x = (x * ROOT_OF_MINUS_ONE) % P
  if (mod(x * x - square) !== 0n || (x === 0n && odd === 1n)) return null
  if ((x & 1n) !== odd) x = P - x
  return [x, y, 1n, (x * y) % P]
}

function hashed(...parts: Uint8Array[]): bigint {
  return fromBytes(sha512(concat(...parts)))
}

/** §5.1.5. */
function expand(secret: Uint8Array): { scalar: bigint; prefix: Uint8Array } {
  const hash = sha512(secret)
  hash[0]! &= 248
  hash[31] = (hash[31]! & 127) | 64
  return { scalar: fromBytes(hash.subarray(0, 32)), prefix: hash.slice(32) }
}

export function publicKeyOf(secret: Uint8Array): Uint8Array {
  return encode(multiply(expand(secret).scalar, BASE))
}

/** §5.1.6. */
export function sign(message: Uint8Array, secret: Uint8Array, publicKey: Uint8Array): Uint8Array {
  const { scalar, prefix } = expand(secret)
  const r = hashed(prefix, message) % L
  const R = encode(multiply(r, BASE))
  const k = hashed(R, publicKey, message) % L
  return concat(R, toBytes((r + k * scalar) % L))
}

/** §5.1.7 with the cofactor: [8](S·B − k·A − R) = 0. The key has passed `requireStrictKey`. */
export function verify(message: Uint8Array, signature: Uint8Array, publicKey: Uint8Array): boolean {
  if (!isStrictSignature(signature)) return false
  const A = decode(publicKey)
  const R = decode(signature.subarray(0, 32))
  if (A === null || R === null) return false
  const k = hashed(signature.subarray(0, 32), publicKey, message) % L
  const left = multiplyTwo(fromBytes(signature.subarray(32)), BASE, k, negate(A))
  return isZero(timesEight(add(left, negate(R))))
}
