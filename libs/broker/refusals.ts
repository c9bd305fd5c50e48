import type { RuleName } from './rules.ts'

/** Why a connection ended or was not made, when the broker decided it. */
export type Reason = RuleName | 'malformed' | 'silent' | 'tls' | 'dropped-by-agent'

/** Structured logging as pino offers it: data first, then a constant sentence. */
export interface BrokerLog {
  info(data: object, message: string): void
  warn(data: object, message: string): void
  error(data: object, message: string): void
}

const QUIET_MS = 60_000

/** Counts refusals, and logs each reason at most once a minute, so that a flood fills no disk. */
export class Refusals {
  readonly #log: BrokerLog | undefined
  readonly #counts = new Map<Reason, number>()
  readonly #logged = new Map<Reason, { atMs: number; count: number }>()

  constructor(log: BrokerLog | undefined) {
    this.#log = log
  }

  add(reason: Reason, address: string, nowMs: number): void {
    const count = (this.#counts.get(reason) ?? 0) + 1
    this.#counts.set(reason, count)
    const last = this.#logged.get(reason)
    if (last !== undefined && nowMs - last.atMs < QUIET_MS) return
    this.#logged.set(reason, { atMs: nowMs, count })
    const times = count - (last?.count ?? 0)
    this.#log?.warn({ event: 'refused', reason, address, times }, 'connection refused')
  }

  totals(): ReadonlyMap<Reason, number> {
    return this.#counts
  }
}
