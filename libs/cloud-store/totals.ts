import { first } from './statements.ts'
import type { Statements } from './statements.ts'
import { isoTime } from './time.ts'
import { mean } from './views.ts'

/** Everything in one glance. */
export interface StatusView {
  fogs: number
  meters: number
  /** Windows, each counted once. */
  summaries: number
  readings: number
  importWh: number
  exportWh: number
  registers: number
  /** Registers with a flag. */
  flagged: number
  events: number
  /** Outbox items of fog nodes that the cloud refused. */
  refused: number
  /** What the fog nodes refused from their meters, by reason, each since its start. */
  refusedByFogs: Record<string, number>
  backlog: number
  /** Readings that two fog nodes count at the moment, until one has let go of them. */
  doubled: number
  /** End of the newest window of any fog. */
  newestEnd: string | null
  lagSeconds: number | null
}

interface StatusRow {
  fogs: number
  summaries: number | null
  readings: number | null
  import_wh: number | null
  export_wh: number | null
  backlog: number | null
  meters: number
  registers: number
  flagged: number
  events: number
  refused: number
  doubled: number
  newest_end_s: number | null
}

/**
 * `max(id)` counts rows that are never deleted without reading them all. `total` is exact up to 2^53
 * and then goes on in floating point, where `sum` would fail the query.
 */
const statusSql = `
  SELECT count(*) AS fogs, sum(summaries) AS summaries, total(readings) AS readings,
    total(import_wh) AS import_wh, total(export_wh) AS export_wh,
    sum(max(0, next - 1 - durable)) AS backlog,
    (SELECT count(*) FROM meter) AS meters,
    (SELECT coalesce(max(id), 0) FROM register) AS registers,
    (SELECT count(*) FROM register WHERE flags <> 0) AS flagged,
    (SELECT coalesce(max(id), 0) FROM event) AS events,
    (SELECT count(*) FROM refused) AS refused,
    (SELECT coalesce(sum(doubled - withdrawn), 0) FROM run WHERE doubled > withdrawn) AS doubled,
    (SELECT end_s FROM summary WHERE latest = 1 ORDER BY start_s DESC LIMIT 1) AS newest_end_s
  FROM fog`

const refusedByFogsSql = `
  SELECT reason.key, sum(reason.value) AS count
  FROM fog, json_each(fog.status, '$.refused') AS reason
  WHERE reason.key IS NOT NULL GROUP BY reason.key ORDER BY reason.key`

export function status(db: Statements, nowS: number): StatusView {
  const row = first(db.all<StatusRow>(statusSql))
  const newest = row?.newest_end_s ?? null
  return {
    fogs: row?.fogs ?? 0,
    meters: row?.meters ?? 0,
    summaries: row?.summaries ?? 0,
    readings: row?.readings ?? 0,
    importWh: row?.import_wh ?? 0,
    exportWh: row?.export_wh ?? 0,
    registers: row?.registers ?? 0,
    flagged: row?.flagged ?? 0,
    events: row?.events ?? 0,
    refused: row?.refused ?? 0,
    refusedByFogs: refusedByFogs(db),
    backlog: row?.backlog ?? 0,
    doubled: row?.doubled ?? 0,
    newestEnd: newest === null ? null : isoTime(newest),
    lagSeconds: newest === null ? null : nowS - newest,
  }
}

function refusedByFogs(db: Statements): Record<string, number> {
  const rows = db.all<{ key: string; count: number }>(refusedByFogsSql)
  return Object.fromEntries(rows.map(({ key, count }) => [key, count]))
}

/**
 * The answer of the student prototype's `GET /summary` (hombrecito2580/secure-fog-communication),
 * whose readers keep working: power in kW, voltage in V. `total_packets` is the number of summaries
 * that count; the overall averages weigh every reading the same; `latest_data` holds each fog's
 * newest window, and its `num_meters` are distinct meters (the prototype counted readings).
 */
export interface PrototypeSummary {
  total_packets: number
  avg_power_overall: number | null
  avg_voltage_overall: number | null
  latest_data: {
    fog_id: string
    num_meters: number
    avg_power: number | null
    avg_voltage: number | null
  }[]
}

interface Sums {
  readings: number | null
  power_sum_w: number | null
  voltage_sum_dv: number | null
  voltage_count: number | null
}

export function prototypeSummary(db: Statements): PrototypeSummary {
  const all = first(
    db.all<Sums & { summaries: number | null }>(
      `SELECT sum(summaries) AS summaries, total(readings) AS readings,
       total(power_sum_w) AS power_sum_w, total(voltage_sum_dv) AS voltage_sum_dv,
       total(voltage_count) AS voltage_count FROM fog`,
    ),
  )
  const newest = db.all<Sums & { name: string; meters: number }>(
    `SELECT f.name, s.meters, s.readings, s.power_sum_w, s.voltage_sum_dv, s.voltage_count
     FROM fog f JOIN summary s ON s.id =
       (SELECT id FROM summary WHERE fog = f.id AND latest = 1 ORDER BY start_s DESC LIMIT 1)
     ORDER BY f.name`,
  )
  return {
    total_packets: all?.summaries ?? 0,
    avg_power_overall: kilowatts(all),
    avg_voltage_overall: volts(all),
    latest_data: newest.map((row) => ({
      fog_id: row.name,
      num_meters: row.meters,
      avg_power: kilowatts(row),
      avg_voltage: volts(row),
    })),
  }
}

function kilowatts(sums: Sums | null): number | null {
  return mean(sums?.power_sum_w ?? 0, (sums?.readings ?? 0) * 1000)
}

function volts(sums: Sums | null): number | null {
  return mean(sums?.voltage_sum_dv ?? 0, (sums?.voltage_count ?? 0) * 10, 1)
}

/** For checking that nothing was lost or counted twice. */
export interface Accounting {
  /** Sums over the latest revision of every window. */
  fogs: {
    fog: string
    summaries: number
    readings: number
    importWh: number
    exportWh: number
    durable: number
  }[]
  /** Each meter's newest signed register and its reading number. */
  meters: { meter: string; number: number; importWh: number; exportWh: number }[]
  refused: { fog: string; number: number; kind: string; code: string }[]
  /** Reading numbers a fog has in its log and does not count, because another one does. */
  withdrawn: { fog: string; meter: string; first: number; through: number }[]
  /** Reading numbers two fogs count at the moment. */
  doubled: number
}

/** Reads whole tables: meant for tests, drills and audits, not for a page that refreshes. */
export function accounting(db: Statements): Accounting {
  return {
    // Added up anew, so that it also checks the sums kept in `fog`.
    fogs: db.all(
      `SELECT f.name AS fog, count(s.id) AS summaries, total(s.readings) AS readings,
         total(s.import_wh) AS importWh, total(s.export_wh) AS exportWh,
         f.durable
       FROM fog f LEFT JOIN summary s ON s.fog = f.id AND s.latest = 1
       GROUP BY f.id ORDER BY f.name`,
    ),
    meters: db.all(
      `SELECT m.name AS meter, r.last AS number, r.end_import_wh AS importWh,
         r.end_export_wh AS exportWh
       FROM meter m JOIN register r ON r.id = m.newest ORDER BY m.name`,
    ),
    refused: db.all(
      `SELECT f.name AS fog, r.number, r.kind, r.code
       FROM refused r JOIN fog f ON f.id = r.fog ORDER BY f.name, r.number LIMIT 10000`,
    ),
    withdrawn: db.all(
      `SELECT f.name AS fog, r.device AS meter, r.first, r.withdrawn AS through
       FROM run r JOIN fog f ON f.id = r.fog WHERE r.withdrawn >= r.first ORDER BY r.id`,
    ),
    doubled: status(db, 0).doubled,
  }
}
