/** Integers modulo p = 2^255 − 19 (RFC 7748 §4.1), and numbers as little-endian bytes. */

export const P = 2n ** 255n - 19n

/** The remainder, never negative. */
export function mod(a: bigint, modulus = P): bigint {
  const rest = a % modulus
  return rest < 0n ? rest + modulus : rest
}

export function power(base: bigint, exponent: bigint): bigint {
  let result = 1n
  let square = base
  for (let rest = exponent; rest > 0n; rest >>= 1n) {
    if ((rest & 1n) === 1n) result = (result * square) % P
    square = (square * square) % P
  }
  return result
}

/** Fermat: a^(p − 2). */
export function inverse(a: bigint): bigint {
  return power(mod(a), P - 2n)
}

export function fromBytes(bytes: Uint8Array): bigint {
  return bytes.reduceRight((value, byte) => (value << 8n) | BigInt(byte), 0n)
}

export function toBytes(value: bigint, length = 32): Uint8Array {
  const out = new Uint8Array(length)
  for (let i = 0, rest = value; i < length; i++, rest >>= 8n) out[i] = Number(rest & 255n)
  return out
}
