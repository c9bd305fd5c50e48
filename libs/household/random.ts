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

function mixed(value: number): number {
  let z = value
  z = Math.imul(z ^ (z >>> 16), 0x85ebca6b)
  z = Math.imul(z ^ (z >>> 13), 0xc2b2ae35)
  return (z ^ (z >>> 16)) >>> 0
}

export function seededRandom(seed: number): SeededRandom {
  let state = seed >>> 0
  const uint32 = (): number => {
    state = (state + 0x9e3779b9) >>> 0
    return mixed(state)
  }
  return {
    uint32,
    between: (min, max) => min + Math.floor((uint32() / 2 ** 32) * (max - min + 1)),
    oneIn: (n) => uint32() < 2 ** 32 / n,
  }
}

/** Another seed that has nothing to do with `seed`, always the same for the same `part`. */
export function derivedSeed(seed: number, part: number): number {
  return mixed(mixed(seed ^ Math.imul(part + 1, 0x9e3779b1)) + part)
}

/** From −1 to 1: a line between random values at whole `position`s, one line for each seed and part. */
export function noise(seed: number, part: number, position: number): number {
  const before = Math.floor(position)
  const own = derivedSeed(seed, part)
  const from = derivedSeed(own, before) / 2 ** 31 - 1
  const to = derivedSeed(own, before + 1) / 2 ** 31 - 1
  return from + (to - from) * (position - before)
}
