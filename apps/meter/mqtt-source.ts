import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { CodedError } from '#errors'
import type { Measurement } from '#meter'
import { Backoff } from '#channel'
import { openConnection, type Connection } from '#mqtt-link'
import type { Clock } from '#ports'
import { systemRandom } from '#service'
import { brokerAccess } from './broker-access.ts'
import type { TimeSense } from './clock.ts'
import { createDating } from './dating.ts'
import { createMqttTable, type MqttSource } from './mqtt-table.ts'
import { createPortReport, type PortLog, type PortReport } from './port-report.ts'
import { createHoldingRhythm, createRhythm } from './rhythm.ts'

export interface MqttSourceOptions {
  source: MqttSource
  clock: Clock
  time: TimeSense
  log: PortLog
  signal: AbortSignal
  waits?: { firstMs: number; maxMs: number }
}

const WAITS = { firstMs: 1_000, maxMs: 60_000 }
/** Messages that may wait to be taken; the oldest go. */
const MAX_WAITING = 1_000

/**
 * Measurements from what another gadget publishes, dated when they arrive; connects again and again.
 * A retained message is left out: nobody knows how old it is. Throws `meter/no-password` and
 * `mqtt-link/…` for what a configuration can get wrong.
 */
export async function* fromBroker(options: MqttSourceOptions): AsyncGenerator<Measurement, void> {
  const { source, clock, log, signal, waits = WAITS } = options
  const table = createMqttTable(source.map)
  const report = createPortReport(source.url, log)
  const dated = createDating(options)
  const rhythm = createRhythm(source.intervalSeconds)
  const backoff = new Backoff(waits, systemRandom)
  while (!signal.aborted) {
    // Nobody knows what was said while nobody listened.
    const holding = createHoldingRhythm(source.intervalSeconds)
    const session = subscribe(options, report)
    for await (const { topic, payload } of session) {
      backoff.reset()
      try {
        const taken = table.take(topic, payload, clock.monotonic())
        report.telegram({ unread: [] })
        if (taken === null) continue
        const moment = dated(null, true)
        const paced = taken.importWh == null ? holding : rhythm
        const measurement = paced({ ...taken, ...moment }, clock.monotonic() / 1_000)
        if (measurement !== null) yield measurement
      } catch (error) {
        if (!(error instanceof CodedError)) throw error
        report.refused(error)
      }
    }
    await delay(backoff.next(), undefined, { signal }).catch(() => undefined)
  }
}

interface Message {
  topic: string
  payload: Uint8Array
}

/** The messages of one connection, until it ends. */
async function* subscribe(
  { source, signal }: MqttSourceOptions,
  report: PortReport,
): AsyncGenerator<Message, void> {
  const waiting: Message[] = []
  let news = Promise.withResolvers<void>()
  let down = false
  const wake = () => news.resolve()
  const connection = connect(source, {
    up: () => report.opened(true),
    message(topic, payload, done, retained) {
      if (!retained) waiting.push({ topic, payload })
      if (waiting.length > MAX_WAITING) waiting.shift()
      wake()
      done()
    },
    drain: () => undefined,
    down(code, reason) {
      down = true
      if (!signal.aborted) report.failed(new CodedError(code, reason))
      wake()
    },
  })
  signal.addEventListener('abort', wake)
  try {
    for (;;) {
      const message = waiting.shift()
      if (message !== undefined) yield message
      else if (down || signal.aborted) return
      else {
        await news.promise
        news = Promise.withResolvers()
      }
    }
  } finally {
    signal.removeEventListener('abort', wake)
    await connection.close()
  }
}

function connect(source: MqttSource, events: Parameters<typeof openConnection>[1]): Connection {
  return openConnection(
    {
      ...brokerAccess(source),
      clientId: `fogmeter-${randomUUID().slice(0, 8)}`,
      topicFilter: [...new Set(source.map.map(({ topic }) => topic))],
    },
    events,
  )
}
