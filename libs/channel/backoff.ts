import type { Random } from '#ports'

/**
 * Full-jitter back-off: each wait is uniform between 0 and a ceiling that doubles. A fleet that lost
 * its broker at the same moment comes back spread over the whole ceiling.
 */
export class Backoff {
  readonly #firstMs: number
  readonly #maxMs: number
  readonly #random: Random
  #failures: number

  /** `failures` go on counting from an earlier life, of a device that forgets while it sleeps. */
  constructor(
    limits: { readonly firstMs: number; readonly maxMs: number },
    random: Random,
    failures = 0,
  ) {
    this.#firstMs = limits.firstMs
    this.#maxMs = limits.maxMs
    this.#random = random
    this.#failures = failures
  }

  /** Attempts that failed since the last one that did not. */
  get failures(): number {
    return this.#failures
  }

  /** The wait before the next attempt, in ms. */
  next(): number {
    const ceiling = Math.min(this.#maxMs, this.#firstMs * 2 ** this.#failures)
    this.#failures += 1
    return Math.floor(this.#fraction() * ceiling)
  }

  /** The wait when trying soon cannot help: the upper half of the longest one. */
  longest(): number {
    return Math.floor(this.#maxMs * (0.5 + this.#fraction() / 2))
  }

  reset(): void {
    this.#failures = 0
  }

  #fraction(): number {
    const bytes = this.#random(4)
    return new DataView(bytes.buffer, bytes.byteOffset, 4).getUint32(0) / 2 ** 32
  }
}
