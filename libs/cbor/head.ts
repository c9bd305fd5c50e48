/** Heads of data items, RFC 8949 §3, always in their shortest form (§4.2.1). */

/** One byte and an argument of eight. */
export const MOST_HEAD_BYTES = 9

const TWO_32 = 2 ** 32

/** Writes a head (RFC 8949 §3, shortest form) at `at` and returns where it ends. */
export function writeHead(
  out: Uint8Array,
  at: number,
  majorBits: number,
  argument: number,
): number {
  if (argument < 24) {
    out[at] = majorBits | argument
    return at + 1
  }
  if (argument < 0x100) {
    out[at] = majorBits | 24
    out[at + 1] = argument
    return at + 2
  }
  if (argument < 0x10000) {
    out[at] = majorBits | 25
    return write16(out, at + 1, argument)
  }
  if (argument < TWO_32) {
    out[at] = majorBits | 26
    return write32(out, at + 1, argument)
  }
  out[at] = majorBits | 27
  return write32(out, write32(out, at + 1, Math.floor(argument / TWO_32)), argument % TWO_32)
}

function write16(out: Uint8Array, at: number, value: number): number {
  out[at] = value >>> 8
  out[at + 1] = value
  return at + 2
}

function write32(out: Uint8Array, at: number, value: number): number {
  out[at] = value >>> 24
  out[at + 1] = value >>> 16
  out[at + 2] = value >>> 8
  out[at + 3] = value
  return at + 4
}
