import { CodedError } from '#errors'
import type { Measurement } from '#meter'
import type { MeterStoreFile } from '#meter-store'
import type { LinkLog } from '#mqtt-link'
import { isWorthSaying } from './quiet.ts'
import type { Unit } from './unit.ts'

/** Errors of a single measurement: nothing was recorded for that meter, the others are not concerned. */
const SINGLE = new Set(['meter/outbox-full', 'reading/bad-value', 'reading/malformed'])

/**
 * The meters that share one store file. What they do in one turn of the event loop is one commit,
 * and only then does anything leave.
 */
export interface Group {
  readonly units: readonly Unit[]
  readonly store: MeterStoreFile
  /** Queues a measurement; it is recorded before the event loop waits again. */
  submit(unit: Unit, measurement: Measurement): void
  /** Records what is queued now. */
  flush(): void
  /** Ages, timeouts, and connections that no longer get anywhere. */
  tick(): void
  /** Signs every open block. */
  closeBlocks(): void
  drained(): boolean
  /** A line of a pipe that was not understood. */
  badLine: (error: CodedError) => void
  /** Why the last commit failed, null while commits work. */
  failure(): CodedError | null
}

export function createGroup(store: MeterStoreFile, units: readonly Unit[], log: LinkLog): Group {
  let queue: [Unit, Measurement][] = []
  let scheduled = false
  let failure: CodedError | null = null

  /** Lets each unit change its meter, in one commit; sends afterwards. False when it failed. */
  function together(involved: Iterable<Unit>, change: (unit: Unit) => Uint8Array[]): boolean {
    const outgoing = new Map<Unit, Uint8Array[]>()
    try {
      store.transaction(() => {
        for (const unit of involved) outgoing.set(unit, change(unit))
      })
    } catch (error) {
      if (!(error instanceof CodedError)) throw error
      failure = error
      log.warn({ code: error.code, error: error.message }, 'readings could not be stored')
      for (const unit of involved) unit.meter.reload()
      return false
    }
    failure = null
    for (const [unit, payloads] of outgoing) unit.send(payloads)
    return true
  }

  function measure(unit: Unit, measurements: readonly Measurement[]): Uint8Array[] {
    return measurements.flatMap((measurement) => {
      try {
        return unit.meter.measure(measurement)
      } catch (error) {
        if (!(error instanceof CodedError) || !SINGLE.has(error.code)) throw error
        report(unit, error)
        return []
      }
    })
  }

  /** Not every time: a full outbox refuses every reading until the fog answers. */
  function report({ meter }: Unit, { code, message }: CodedError): void {
    const times = meter.status().refusedMeasurements
    if (!isWorthSaying(times)) return
    log.warn(
      { meter: meter.deviceId, code, error: message, times },
      'a measurement was not recorded',
    )
  }

  function flush(): void {
    scheduled = false
    if (queue.length === 0) return
    const work = Map.groupBy(queue, ([unit]) => unit)
    queue = []
    together([...work.keys()], (unit) =>
      measure(
        unit,
        (work.get(unit) ?? []).map(([, measurement]) => measurement),
      ),
    )
  }

  function submit(unit: Unit, measurement: Measurement): void {
    queue.push([unit, measurement])
    if (scheduled) return
    scheduled = true
    setImmediate(flush)
  }

  function tick(): void {
    together(units, (unit) => unit.meter.tick())
    for (const unit of units) {
      if (unit.link?.state === 'open' && unit.meter.needsReconnect()) {
        unit.link.reconnect('delivery/stalled')
      }
    }
  }

  return {
    units,
    store,
    submit,
    flush,
    tick,
    closeBlocks: () => void together(units, (unit) => unit.meter.closeBlock()),
    drained: () => units.every((unit) => unit.meter.drained()),
    badLine: ({ code, message }) => log.warn({ code, error: message }, 'a line was skipped'),
    failure: () => failure,
  }
}
