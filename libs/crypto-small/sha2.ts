/**
 * FIPS 180-4. Both hashes begin with the same fractions of roots of primes, which are computed: that
 * takes less room than writing them down.
 */
import { concat } from '#bytes'

const WORD64 = 2n ** 64n

const primes: bigint[] = []
for (let n = 2n; primes.length < 80; n++)
  if (primes.every((prime) => n % prime !== 0n)) primes.push(n)

/** The first 64 bits behind the point of the root of `power`th degree, §4.2.3 and §5.3.5. */
function fraction(prime: bigint, power: bigint): bigint {
  const scaled = prime * WORD64 ** power
  let root = 1n << 70n
  for (;;) {
    const next = ((power - 1n) * root + scaled / root ** (power - 1n)) / power
    if (next >= root) return root % WORD64
    root = next
  }
}

const K512 = primes.map((prime) => fraction(prime, 3n))
const START512 = primes.slice(0, 8).map((prime) => fraction(prime, 2n))
const K256 = Uint32Array.from(K512.slice(0, 64), upper)
const START256 = Uint32Array.from(START512, upper)

function upper(word: bigint): number {
  return Number(word >> 32n)
}

/** §5.1: the message, one bit, zeros, its length in bits. */
function padded(data: Uint8Array, blockBytes: number): Uint8Array {
  const lengthBytes = blockBytes / 8
  const zeros = blockBytes - ((data.length + 1 + lengthBytes) % blockBytes)
  const end = new Uint8Array(1 + (zeros % blockBytes) + lengthBytes)
  end[0] = 0x80
  new DataView(end.buffer).setBigUint64(end.length - 8, BigInt(data.length) * 8n)
  return concat(data, end)
}

function right(word: number, bits: number): number {
  return (word >>> bits) | (word << (32 - bits))
}

/** §6.2. */
export function sha256(data: Uint8Array): Uint8Array {
  const bytes = padded(data, 64)
  const view = new DataView(bytes.buffer)
  const state = START256.slice()
  const w = new Uint32Array(64)
  for (let at = 0; at < bytes.length; at += 64) {
    for (let t = 0; t < 16; t++) w[t] = view.getUint32(at + 4 * t)
    for (let t = 16; t < 64; t++) {
      const [x, y] = [w[t - 15]!, w[t - 2]!]
      const s0 = right(x, 7) ^ right(x, 18) ^ (x >>> 3)
      const s1 = right(y, 17) ^ right(y, 19) ^ (y >>> 10)
      w[t] = w[t - 16]! + s0 + w[t - 7]! + s1
    }
    rounds256(state, w)
  }
  const out = new Uint8Array(32)
  const result = new DataView(out.buffer)
  state.forEach((word, i) => result.setUint32(4 * i, word))
  return out
}

function rounds256(state: Uint32Array, w: Uint32Array): void {
  let [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0, g = 0, h = 0] = state
  for (let t = 0; t < 64; t++) {
    const s1 = right(e, 6) ^ right(e, 11) ^ right(e, 25)
    const t1 = (h + s1 + ((e & f) ^ (~e & g)) + K256[t]! + w[t]!) | 0
    const s0 = right(a, 2) ^ right(a, 13) ^ right(a, 22)
    const t2 = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0
    h = g
    g = f
    f = e
    e = (d + t1) | 0
    d = c
    c = b
    b = a
    a = (t1 + t2) | 0
  }
  const after = [a, b, c, d, e, f, g, h]
  for (let i = 0; i < 8; i++) state[i]! += after[i]!
}

function right64(word: bigint, bits: bigint): bigint {
  return (word >> bits) | ((word << (64n - bits)) % WORD64)
}

/** §6.4. */
export function sha512(data: Uint8Array): Uint8Array {
  const bytes = padded(data, 128)
  const view = new DataView(bytes.buffer)
  let state = START512
  for (let at = 0; at < bytes.length; at += 128) {
    const w: bigint[] = []
    for (let t = 0; t < 16; t++) w.push(view.getBigUint64(at + 8 * t))
    for (let t = 16; t < 80; t++) {
      const [x, y] = [w[t - 15]!, w[t - 2]!]
      const s0 = right64(x, 1n) ^ right64(x, 8n) ^ (x >> 7n)
      const s1 = right64(y, 19n) ^ right64(y, 61n) ^ (y >> 6n)
      w.push((w[t - 16]! + s0 + w[t - 7]! + s1) % WORD64)
    }
    state = rounds512(state, w)
  }
  const out = new Uint8Array(64)
  const result = new DataView(out.buffer)
  state.forEach((word, i) => result.setBigUint64(8 * i, word))
  return out
}

function rounds512(state: readonly bigint[], w: readonly bigint[]): bigint[] {
  let [a, b, c, d, e, f, g, h] = state as [
    bigint,
    bigint,
    bigint,
    bigint,
    bigint,
    bigint,
    bigint,
    bigint,
  ]
  for (let t = 0; t < 80; t++) {
    const s1 = right64(e, 14n) ^ right64(e, 18n) ^ right64(e, 41n)
    const t1 = h + s1 + (g ^ (e & (f ^ g))) + K512[t]! + w[t]!
    const s0 = right64(a, 28n) ^ right64(a, 34n) ^ right64(a, 39n)
    const t2 = s0 + ((a & b) ^ (a & c) ^ (b & c))
    h = g
    g = f
    f = e
    e = (d + t1) % WORD64
    d = c
    c = b
    b = a
    a = (t1 + t2) % WORD64
  }
  return [a, b, c, d, e, f, g, h].map((word, i) => (word + state[i]!) % WORD64)
}
