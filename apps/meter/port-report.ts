import type { CodedError } from '#errors'
import type { Telegram } from '#telegram'
import { isWorthSaying } from './quiet.ts'

/** The part of a logger that a port needs. */
export interface PortLog {
  info(data: object, message: string): void
  warn(data: object, message: string): void
  debug(data: object, message: string): void
}

/** Says in words how a port fares, without repeating itself and without a single reading. */
export interface PortReport {
  opened(live: boolean): void
  failed(error: CodedError): void
  refused(error: CodedError): void
  /** One that was used. */
  telegram(telegram: Pick<Telegram, 'unread'>): void
}

export function createPortReport(port: string, log: PortLog): PortReport {
  /** Failures since the last telegram. */
  let failures = 0
  let justOpened = false
  let unread = ''
  const refusals = new Map<string, number>()

  return {
    opened(live) {
      justOpened = live
      if (live) log.info({ event: 'port-open', port }, 'listening to the meter')
    },
    failed({ code, message }) {
      failures += 1
      if (!isWorthSaying(failures)) return
      log.warn(
        { event: 'port-failed', port, code, error: message, times: failures },
        'the port of the meter failed; it is opened again until it is back',
      )
    },
    refused({ code, message }) {
      // Whoever starts to listen in the middle of a telegram hears the end of it.
      const expected = justOpened && /half/.test(code)
      justOpened = false
      if (expected) return
      const times = (refusals.get(code) ?? 0) + 1
      refusals.set(code, times)
      if (isWorthSaying(times)) {
        log.warn({ port, code, error: message, times }, 'a telegram was not used')
      }
    },
    telegram(telegram) {
      if (failures > 0) log.info({ event: 'port-back', port, failures }, 'the meter is back')
      failures = 0
      justOpened = false
      const lines = telegram.unread.map(({ what, why }) => `${what}: ${why}`)
      if (lines.join() === unread) return
      unread = lines.join()
      if (lines.length > 0) {
        log.info(
          { port, lines },
          'lines of the telegram that were not understood; the rest is used',
        )
      }
    },
  }
}
