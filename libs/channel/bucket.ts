/** A token bucket on monotonic time: `burst` at once, `perSecond` in the long run. */
export class TokenBucket {
  readonly #burst: number
  readonly #perSecond: number
  #tokens: number
  #filledAtMs: number

  constructor(burst: number, perSecond: number, nowMs: number) {
    this.#burst = burst
    this.#perSecond = perSecond
    this.#tokens = burst
    this.#filledAtMs = nowMs
  }

  /** Takes one token; false when there is none. */
  take(nowMs: number): boolean {
    const gained = ((nowMs - this.#filledAtMs) * this.#perSecond) / 1000
    this.#tokens = Math.min(this.#burst, this.#tokens + gained)
    this.#filledAtMs = nowMs
    if (this.#tokens < 1) return false
    this.#tokens -= 1
    return true
  }
}

/** At most one event per key and interval, for a bounded number of keys (the longest silent is forgotten). */
export class PerKeyLimit {
  readonly #intervalMs: number
  readonly #maxKeys: number
  readonly #lastMs = new Map<string, number>()

  constructor(intervalMs: number, maxKeys: number) {
    this.#intervalMs = intervalMs
    this.#maxKeys = maxKeys
  }

  take(key: string, nowMs: number): boolean {
    const last = this.#lastMs.get(key)
    if (last !== undefined && nowMs - last < this.#intervalMs) return false
    this.#lastMs.delete(key)
    this.#lastMs.set(key, nowMs)
    if (this.#lastMs.size > this.#maxKeys) {
      for (const oldest of this.#lastMs.keys()) {
        this.#lastMs.delete(oldest)
        break
      }
    }
    return true
  }
}
