/**
 * A JavaScript array of bytes above 64 has memory of its own outside the heap. Getting it, and giving
 * it back from another thread, takes longer than filling it; of thousands a second, a slab is cheaper.
 */
const SLAB_BYTES = 16_384
/** The first one is small, each further one twice as large: somebody may want few, on a small chip. */
const FIRST_BYTES = 512
/** Larger pieces would waste too much of a slab, and are rare. */
const LARGEST_PIECE = 1_024

let slab = new Uint8Array()
let used = 0

/**
 * Room for a byte string that is soon forgotten. Nobody else gets these bytes, but whoever keeps them
 * keeps a whole slab in memory.
 */
export function shortLived(length: number): Uint8Array {
  if (length > LARGEST_PIECE) return new Uint8Array(length)
  if (used + length > slab.length) {
    const wanted = Math.max(FIRST_BYTES, 2 * slab.length, length)
    slab = new Uint8Array(Math.min(SLAB_BYTES, wanted))
    used = 0
  }
  used += length
  return slab.subarray(used - length, used)
}
