/** Counts by name, for a bounded set of names that our own code chooses. */
export class Tally {
  readonly #counts = new Map<string, number>()

  add(name: string): void {
    this.#counts.set(name, (this.#counts.get(name) ?? 0) + 1)
  }

  toRecord(): Record<string, number> {
    return Object.fromEntries(this.#counts)
  }
}
