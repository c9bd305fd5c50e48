import { performance } from 'node:perf_hooks'
import { adviceFor } from './advice.ts'
import type { LinkLog } from './types.ts'

/** Strangers can make as many failures as they like; the log gets one of each kind a minute. */
const QUIET_MS = 60_000

/** Tells an operator about handshakes that were refused, without letting anyone fill the disk. */
export class RefusalLog {
  readonly #log: LinkLog | undefined
  /** By code; codes are our own, so there are few. */
  readonly #kinds = new Map<string, { loggedMs: number; unsaid: number }>()

  constructor(log: LinkLog | undefined) {
    this.#log = log
  }

  add(code: string, detail: string | null): void {
    const now = performance.now()
    const kind = this.#kinds.get(code) ?? { loggedMs: -Infinity, unsaid: 0 }
    this.#kinds.set(code, kind)
    kind.unsaid += 1
    if (now - kind.loggedMs < QUIET_MS) return
    const data = { code, detail, times: kind.unsaid, advice: adviceFor(code, detail) }
    this.#log?.warn(data, 'a handshake was refused')
    kind.loggedMs = now
    kind.unsaid = 0
  }
}
