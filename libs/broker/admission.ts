import type { Clock } from '#ports'
import type { Connection } from './connection.ts'

/**
 * Network connections that no agent has vouched for yet, oldest first. One timer for all of them:
 * a timer each would be most of what such a connection costs.
 */
export class Admission {
  readonly #waiting = new Set<Connection>()
  readonly #timeoutMs: number
  readonly #clock: Clock
  readonly #expired: (connection: Connection) => void
  readonly #timer: NodeJS.Timeout

  constructor(timeoutMs: number, clock: Clock, expired: (connection: Connection) => void) {
    this.#timeoutMs = timeoutMs
    this.#clock = clock
    this.#expired = expired
    this.#timer = setInterval(() => this.#sweep(), Math.min(1_000, timeoutMs / 4))
    this.#timer.unref()
  }

  get size(): number {
    return this.#waiting.size
  }

  wait(connection: Connection): void {
    this.#waiting.add(connection)
  }

  leave(connection: Connection): void {
    this.#waiting.delete(connection)
  }

  stop(): void {
    clearInterval(this.#timer)
  }

  #sweep(): void {
    const latestMs = this.#clock.monotonic() - this.#timeoutMs
    for (const connection of this.#waiting) {
      if (connection.sinceMs > latestMs) break
      this.#waiting.delete(connection)
      this.#expired(connection)
    }
  }
}
