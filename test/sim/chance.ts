import type { Random } from '#ports'
import { seededRandom } from '../support/random.ts'

/** Everything random in a run comes from here. */
export interface Chance {
  /** [0, 1) */
  fraction(): number
  /** Whole number from `low` to `high`, both included. */
  int(low: number, high: number): number
  between(low: number, high: number): number
  happens(probability: number): boolean
  pick<T>(items: readonly T[]): T
  bytes: Random
  /** Exponentially distributed waiting time. */
  wait(meanMs: number): number
}

export function createChance(seed: number): Chance {
  // Neighbouring seeds must not give neighbouring streams.
  const fraction = seededRandom(Math.imul(seed ^ (seed >>> 16), 0x9e3779b1) ^ 0x5bd1e995)
  const int = (low: number, high: number) => low + Math.floor(fraction() * (high - low + 1))
  return {
    fraction,
    int,
    between: (low, high) => low + fraction() * (high - low),
    happens: (probability) => fraction() < probability,
    pick: (items) => items[int(0, items.length - 1)]!,
    wait: (meanMs) => -Math.log(1 - fraction()) * meanMs,
    bytes(length) {
      const bytes = new Uint8Array(length)
      for (let i = 0; i < length; i++) bytes[i] = fraction() * 256
      return bytes
    },
  }
}
