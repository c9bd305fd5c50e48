import { registerFlagNames } from '#cloud'
import type { FogStatus } from '#messages'
import { timeQualityOf } from '#reading'
import { isoTime } from './time.ts'
import type { SummaryRow } from './summary-tables.ts'

/**
 * What queries return: plain JSON, the same over HTTP and from the command line. Sums stay the exact
 * integers of the database; means are made here, rounded to a thousandth.
 */
export interface SummaryView {
  /** Grows with every stored revision: the cursor of `watch`. */
  id: number
  fog: string
  /** The window covers readings stamped after `start`, up to and including `end`. */
  start: string
  end: string
  startS: number
  endS: number
  revision: number
  /** Distinct meters. */
  meters: number
  readings: number
  powerMinW: number
  powerMeanW: number
  powerMaxW: number
  powerSumW: number
  /** null when no reading of the window carries a voltage. */
  voltageMinV: number | null
  voltageMeanV: number | null
  voltageMaxV: number | null
  voltageSumDv: number
  voltageCount: number
  importWh: number
  exportWh: number
  /** Readings by how far their time can be trusted, and how many stand in for a measurement. */
  synchronised: number
  estimated: number
  unknownTime: number
  substitute: number
  received: string
}

export interface SummaryViewRow extends Omit<SummaryRow, 'first_received_s'> {
  id: number
  fog_id: number
  fog_name: string
  received_s: number
}

export function summaryView(row: SummaryViewRow): SummaryView {
  return {
    id: row.id,
    fog: row.fog_name,
    start: isoTime(row.start_s),
    end: isoTime(row.end_s),
    startS: row.start_s,
    endS: row.end_s,
    revision: row.revision,
    meters: row.meters,
    readings: row.readings,
    powerMinW: row.power_min_w,
    powerMeanW: mean(row.power_sum_w, row.readings) ?? 0,
    powerMaxW: row.power_max_w,
    powerSumW: row.power_sum_w,
    voltageMinV: volts(row.voltage_min_dv),
    voltageMeanV: mean(row.voltage_sum_dv, row.voltage_count * 10),
    voltageMaxV: volts(row.voltage_max_dv),
    voltageSumDv: row.voltage_sum_dv,
    voltageCount: row.voltage_count,
    importWh: row.import_wh,
    exportWh: row.export_wh,
    synchronised: row.readings - row.estimated - row.unknown_time,
    estimated: row.estimated,
    unknownTime: row.unknown_time,
    substitute: row.substitute,
    received: isoTime(row.received_s),
  }
}

function volts(dv: number | null): number | null {
  return dv === null ? null : dv / 10
}

/** sum / count to `digits` decimals; null when there is nothing to average. */
export function mean(sum: number, count: number, digits = 3): number | null {
  return count === 0 ? null : Number((sum / count).toFixed(digits))
}

export interface FogView {
  fog: string
  firstSeen: string
  lastSeen: string
  /** End of its newest window, and how long ago that is; null before the first. */
  newestEnd: string | null
  lagSeconds: number | null
  /** Outbox entries the cloud knows of and does not have yet. */
  backlog: number
  /** Windows, counted once each. */
  summaries: number
  readings: number
  /** Meters in the newest window, and meters whose newest register came through this fog. */
  metersInNewest: number
  meters: number
  importWh: number
  exportWh: number
  /** Its outbox items that the cloud refused; what it refused itself is in `status`. */
  refused: number
  /** What the fog last said about itself. */
  status: FogStatus | null
}

export interface FogViewRow {
  name: string
  first_seen_s: number
  last_seen_s: number
  durable: number
  next: number
  summaries: number
  readings: number
  import_wh: number
  export_wh: number
  status: string | null
  end_s: number | null
  meters_in_newest: number | null
  meters: number
  refused: number
}

export function fogView(row: FogViewRow, nowS: number): FogView {
  return {
    fog: row.name,
    firstSeen: isoTime(row.first_seen_s),
    lastSeen: isoTime(row.last_seen_s),
    newestEnd: row.end_s === null ? null : isoTime(row.end_s),
    lagSeconds: row.end_s === null ? null : nowS - row.end_s,
    backlog: Math.max(0, row.next - 1 - row.durable),
    summaries: row.summaries,
    readings: row.readings,
    metersInNewest: row.meters_in_newest ?? 0,
    meters: row.meters,
    importWh: row.import_wh,
    exportWh: row.export_wh,
    refused: row.refused,
    status: row.status === null ? null : (JSON.parse(row.status) as FogStatus),
  }
}

export interface MeterView {
  meter: string
  fog: string
  /** Of its newest signed register; null while only its credential came. */
  number: number | null
  importWh: number | null
  exportWh: number | null
  /** The meter's own time of that register, and how far it trusts it. */
  time: string | null
  timeQuality: 'synchronised' | 'estimated' | 'unknown' | null
  /** Doubts about that register, e.g. `import-back`. */
  flags: string[]
  registerId: number | null
  firstSeen: string
  lastSeen: string
}

export interface MeterViewRow {
  meter_id: number
  meter_name: string
  fog_name: string
  first_seen_s: number
  last_seen_s: number
  register_id: number | null
  last: number | null
  end_s: number | null
  end_import_wh: number | null
  end_export_wh: number | null
  status: number | null
  flags: number | null
}

const qualities = ['synchronised', 'estimated', 'unknown'] as const

export function meterView(row: MeterViewRow): MeterView {
  return {
    meter: row.meter_name,
    fog: row.fog_name,
    number: row.last,
    importWh: row.end_import_wh,
    exportWh: row.end_export_wh,
    time: row.end_s === null ? null : isoTime(row.end_s),
    timeQuality: row.status === null ? null : (qualities[timeQualityOf(row.status)] ?? null),
    flags: registerFlagNames(row.flags ?? 0),
    registerId: row.register_id,
    firstSeen: isoTime(row.first_seen_s),
    lastSeen: isoTime(row.last_seen_s),
  }
}
