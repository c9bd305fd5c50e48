/** A set of meters by small integer index, one bit each: 125 bytes for a thousand meters. */
export type MeterSet = Uint8Array

/** `set` with `meter` in it; changed in place while it is large enough. */
export function addMeter(set: MeterSet, meter: number): MeterSet {
  const byte = meter >>> 3
  let grown = set
  if (byte >= set.length) {
    // Grow by doubling, so that meters 0 to n cost O(n) copying in all.
    grown = new Uint8Array(Math.max(byte + 1, set.length * 2))
    grown.set(set)
  }
  grown[byte]! |= 1 << (meter & 7)
  return grown
}

/** `set` without `meter`, changed in place. */
export function removeMeter(set: MeterSet, meter: number): MeterSet {
  const byte = meter >>> 3
  if (byte < set.length) set[byte]! &= ~(1 << (meter & 7))
  return set
}

export function countMeters(set: MeterSet): number {
  let count = 0
  for (const byte of set) {
    for (let rest = byte; rest !== 0; rest &= rest - 1) count += 1
  }
  return count
}

export function mergeMeters(a: MeterSet, b: MeterSet): MeterSet {
  const [long, short] = a.length >= b.length ? [a, b] : [b, a]
  const union = Uint8Array.from(long)
  for (let i = 0; i < short.length; i++) union[i]! |= short[i]!
  return union
}

/** Without trailing zero bytes, so that equal sets have equal bytes. */
export function trimMeters(set: MeterSet): MeterSet {
  let length = set.length
  while (length > 0 && set[length - 1] === 0) length -= 1
  return set.slice(0, length)
}
