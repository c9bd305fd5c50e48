/** What a chip can expect of its Wi-Fi. */
export interface Wifi {
  /** Ms until there is an address, or null: the router was not reached, which took `lostMs`. */
  associate(atMs: number): { afterMs: number } | { lostMs: number }
  /** Ms after which this connection breaks by itself, Infinity when it holds. */
  holdsMs(atMs: number): number
}

export interface WifiOptions {
  /** A random number in [0, 1). */
  fraction: () => number
  associateMs: readonly [number, number]
  /** Attempts that fail though the router is there. */
  missed?: number
  /** Sessions that break in the middle. */
  broken?: number
  /** The router is away this often, 0 never, and about this long. */
  outageEveryMs?: number
  outageMs?: number
}

/** The radio has looked for so long before it gives up. */
const LOST_MS = 10_000
/** A session is over before this. */
const SESSION_MS = 6_000

/** Wi-Fi with bad days: seconds to come back, misses, breaks, a router that is away for hours. */
export function createWifi(options: WifiOptions): Wifi {
  const { fraction, associateMs, missed = 0.03, broken = 0.03 } = options
  const { outageEveryMs = 8 * 3_600_000, outageMs = 30 * 60_000 } = options
  let outage = { fromMs: -1, toMs: -1 }

  /** Exponential waiting times, drawn as the clock reaches them. */
  function away(atMs: number): boolean {
    if (outageEveryMs === 0) return false
    while (outage.toMs <= atMs) {
      const fromMs = Math.max(outage.toMs, atMs) + wait(outageEveryMs)
      outage = { fromMs, toMs: fromMs + wait(outageMs) }
      if (fromMs > atMs) break
    }
    return atMs >= outage.fromMs && atMs < outage.toMs
  }

  function wait(meanMs: number): number {
    return -Math.log(1 - fraction()) * meanMs
  }

  return {
    associate(atMs) {
      const [least, most] = associateMs
      if (away(atMs) || fraction() < missed) return { lostMs: LOST_MS }
      return { afterMs: least + fraction() * (most - least) }
    },
    holdsMs: () => (fraction() < broken ? fraction() * SESSION_MS : Infinity),
  }
}
