/** RFC 7748 §5. */
import { fromBytes, inverse, mod, P, toBytes } from './field.ts'

const A24 = 121665n
const BASE_U = 9n

/** Scalar times the point with this u coordinate, both as the RFC decodes them. */
export function x25519(secret: Uint8Array, u?: Uint8Array): Uint8Array {
  const k = (fromBytes(secret) & (2n ** 254n - 8n)) | (2n ** 254n)
  const x1 = u === undefined ? BASE_U : (fromBytes(u) & (2n ** 255n - 1n)) % P
  let [x2, z2, x3, z3] = [1n, 0n, x1, 1n]
  let swapped = 0n
  for (let t = 254n; t >= 0n; t--) {
    const bit = (k >> t) & 1n
    if (bit !== swapped) [x2, z2, x3, z3] = [x3, z3, x2, z2]
    swapped = bit
    const [a, b, c, d] = [x2 + z2, x2 - z2, x3 + z3, x3 - z3]
    const [aa, bb, da, cb] = [(a * a) % P, (b * b) % P, (d * a) % P, (c * b) % P]
    const e = aa - bb
    x3 = (da + cb) ** 2n % P
    z3 = (x1 * ((da - cb) ** 2n % P)) % P
    x2 = (aa * bb) % P
    z2 = (e * (aa + A24 * e)) % P
  }
  if (swapped === 1n) [x2, z2] = [x3, z3]
  return toBytes(mod(x2 * inverse(z2)))
}
