/**
 * A small seeded generator for simulations (never for keys): the 32-bit mixer of MurmurHash3's
 * finaliser over a Weyl sequence, as in SplitMix. Integer arithmetic only, so a seed gives the same
 * numbers on every machine.
 */
export interface SeededRandom {
  /** An integer from 0 to 2^32 − 1. */
  uint32(): number
  /** An integer from `min` to `max`, both included. */
  between(min: number, max: number): number
  /** True once in `n` calls on average. */
  oneIn(n: number): boolean
}

export function seededRandom(seed: number): SeededRandom {
  let state = seed >>> 0
  const uint32 = (): number => {
    state = (state + 0x9e3779b9) >>> 0
    let z = state
    z = Math.imul(z ^ (z >>> 16), 0x85ebca6b)
    z = Math.imul(z ^ (z >>> 13), 0xc2b2ae35)
    return (z ^ (z >>> 16)) >>> 0
  }
  return {
    uint32,
    between: (min, max) => min + Math.floor((uint32() / 2 ** 32) * (max - min + 1)),
    oneIn: (n) => uint32() < 2 ** 32 / n,
  }
}
