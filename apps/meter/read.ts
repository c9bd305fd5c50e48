import { CodedError } from '#errors'
import type { MeterConfig, WiredSource } from '#config'
import type { Measurement } from '#meter'
import { systemClock } from '#service'
import type { Telegram } from '#telegram'
import { openTimeSense } from './clock.ts'
import { createPortReport, type PortLog } from './port-report.ts'
import { recorderFor } from './recording.ts'
import { openSource } from './source.ts'
import { openTimeline } from './timeline.ts'
import { isWired, received, wireName, type WiredOptions } from './wired.ts'

export interface ReadOptions {
  source: MeterConfig['source']
  /** Ends after the first. */
  oneshot: boolean
  logTelegrams?: string | undefined
  log: PortLog
  signal: AbortSignal
}

/**
 * What a source says, one item after another: telegrams of a port as they are, measurements of
 * anything else. Nothing is stored and nothing is sent. Throws what the source throws, and
 * `meter/no-telegram` when it ended without a single one.
 */
export async function* readSource(
  options: ReadOptions,
): AsyncGenerator<Telegram | Measurement, void> {
  let count = 0
  for await (const item of itemsOf(options)) {
    count += 1
    yield item
    if (options.oneshot) return
  }
  if (count > 0 || options.signal.aborted) return
  throw new CodedError('meter/no-telegram', 'the source ended without a single usable value')
}

function itemsOf(options: ReadOptions): AsyncGenerator<Telegram | Measurement, void> {
  const { source, logTelegrams } = options
  const record = recorderFor(source, logTelegrams)
  return isWired(source) ? telegramsOf(options, source, record) : measurementsOf(options)
}

async function* telegramsOf(
  { log, signal }: ReadOptions,
  source: WiredSource,
  record: WiredOptions['record'],
): AsyncGenerator<Telegram, void> {
  const report = createPortReport(wireName(source), log)
  const clock = systemClock
  const all = received({ source, clock, input: process.stdin, signal, report, record })
  for await (const { telegram } of all) yield telegram
}

async function* measurementsOf({
  source,
  signal,
  log,
}: ReadOptions): AsyncGenerator<Measurement, void> {
  const clock = systemClock
  const timeline =
    'start' in source
      ? openTimeline({
          clock,
          startS: source.start,
          intervalSeconds: source.intervalSeconds,
          timeScale: source.timeScale,
          remembered: null,
          remember: () => undefined,
        })
      : null
  yield* openSource({
    config: source,
    index: 0,
    clock,
    time: openTimeSense({ clock, askTimesyncd: true }),
    timeline,
    log,
    port: null,
    newestTimeS: 0,
    input: process.stdin,
    signal,
    onBadLine: ({ code, message }) => log.warn({ code, error: message }, 'a line was skipped'),
  })
}
