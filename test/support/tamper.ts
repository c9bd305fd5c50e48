/** A copy with bit `bit` flipped, counted from the first byte's lowest bit. */
export function flipBit(bytes: Uint8Array, bit: number): Uint8Array {
  const at = bit >> 3
  return bytes.with(at, (bytes[at] ?? 0) ^ (1 << (bit & 7)))
}

/** A copy whose last byte, part of a tag in anything sealed, is wrong. */
export function breakTag(sealed: Uint8Array): Uint8Array {
  return flipBit(sealed, (sealed.length - 1) * 8)
}
