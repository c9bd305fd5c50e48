import type { Metrics } from '#service'
import type { MeterStatus } from '#meter'
import type { Fleet } from './fleet.ts'

/** What `/status` shows of one meter. */
export interface MeterView extends MeterStatus {
  link: 'connecting' | 'open' | 'waiting' | 'closed'
  /** The source has ended; nothing new will be measured. */
  finished: boolean
  /** Everything measured is signed and at the fog node. */
  drained: boolean
}

export function meterViews({ units }: Fleet): MeterView[] {
  return units.map(({ meter, link, finished }) => ({
    ...meter.status(),
    link: link?.state ?? 'waiting',
    finished,
    drained: meter.drained(),
  }))
}

/** Sums over the meters of this process: a meter's name is never a label here. */
export function addMeterMetrics(metrics: Metrics, fleet: Fleet): void {
  const sum = (of: (status: MeterStatus) => number) => () =>
    fleet.units.reduce((total, { meter }) => total + of(meter.status()), 0)
  const kinds = {
    reading: sum((status) => status.readings),
    block: sum((status) => status.blocks),
    live: sum((status) => status.liveMessages),
    refused_measurement: sum((status) => status.refusedMeasurements),
    refused_block: sum((status) => status.refusedBlocks),
    given_up_reading: sum((status) => status.readingsGivenUp),
    resent_block: sum((status) => status.delivery.itemsResent),
  }
  metrics.totals('meter_items_total', 'What the meters of this process did.', 'kind', () =>
    Object.entries(kinds).map(([kind, read]): [string, number] => [kind, read()]),
  )
  metrics.gauge('meter_outbox_blocks', 'Signed blocks the fog node has not receipted.', () =>
    sum((status) => status.outboxBlocks)(),
  )
  metrics.gauge('meter_outbox_statements', 'Of these, those without readings any more.', () =>
    sum((status) => status.outboxStatements)(),
  )
  metrics.gauge('meter_meters', 'Meters in this process.', () => fleet.units.length)
  metrics.gauge('meter_connected', 'Meters welcomed by their fog node.', () =>
    sum((status) => Number(status.welcomed))(),
  )
}
