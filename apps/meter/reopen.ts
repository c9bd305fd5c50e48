import { setTimeout as delay } from 'node:timers/promises'
import { Backoff } from '#channel'
import { CodedError } from '#errors'
import { systemRandom } from '#service'
import type { PortReport } from './port-report.ts'

const MAY_COME = new Set(['port/unreachable'])
const COMES_BACK = new Set(['port/unreachable', 'port/missing', 'port/denied'])

/**
 * True when a port that could not be opened may be there later. Of one that was open once, that it is
 * not there, or not this user's yet, is a cable on its way back.
 */
export function mayPass(error: unknown, wasOpen: boolean): error is CodedError {
  return error instanceof CodedError && (wasOpen ? COMES_BACK : MAY_COME).has(error.code)
}

/**
 * One session after another, with growing waits between them, none shorter than `leastMs`, until one
 * ends with null instead of a failure. A session calls `onSuccess` when the waits may be short again.
 */
export async function* reopening<T>(
  options: {
    signal: AbortSignal
    report: PortReport
    waits: { firstMs: number; maxMs: number; leastMs?: number }
  },
  session: (onSuccess: () => void) => AsyncGenerator<T, CodedError | null>,
): AsyncGenerator<T, void> {
  const { signal, report, waits } = options
  const backoff = new Backoff(waits, systemRandom)
  while (!signal.aborted) {
    const failure = yield* session(() => backoff.reset())
    if (failure === null || signal.aborted) return
    report.failed(failure)
    const waitMs = Math.max(waits.leastMs ?? 0, backoff.next())
    await delay(waitMs, undefined, { signal }).catch(() => undefined)
  }
}
