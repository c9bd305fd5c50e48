import type { CloudTx, SummaryEntry } from '#cloud'
import type { Summary } from '#messages'
import { fogKey } from './fog-tables.ts'
import { first } from './statements.ts'
import type { Statements } from './statements.ts'

/** A summary's own columns, as every query reads them. */
export interface SummaryRow {
  start_s: number
  end_s: number
  revision: number
  meters: number
  readings: number
  power_sum_w: number
  power_min_w: number
  power_max_w: number
  voltage_sum_dv: number
  voltage_count: number
  voltage_min_dv: number | null
  voltage_max_dv: number | null
  import_wh: number
  export_wh: number
  estimated: number
  unknown_time: number
  substitute: number
  first_received_s: number | null
}

/** All revisions of all windows, the highest of each marked `latest`. */
export function summaryTables(
  db: Statements,
): Pick<CloudTx, 'summary' | 'latestSummary' | 'summaryThrough' | 'addSummary'> {
  const ofWindow = 'SELECT * FROM summary WHERE fog = (SELECT id FROM fog WHERE name = ?)'
  return {
    summary: (fog, startS, revision) =>
      orNull(
        first(db.all(`${ofWindow} AND start_s = ? AND revision = ?`, [fog, startS, revision])),
      ),
    latestSummary: (fog, startS) =>
      orNull(first(db.all(`${ofWindow} AND start_s = ? AND latest = 1`, [fog, startS]))),
    summaryThrough: (fog, startS, number) =>
      orNull(
        first(
          db.all(`${ofWindow} AND start_s = ? AND number <= ? ORDER BY revision DESC LIMIT 1`, [
            fog,
            startS,
            number,
          ]),
        ),
      ),
    addSummary: (entry) => addSummary(db, entry),
  }
}

/** Windows of which a fog has another history than what is stored. */
export function forkTables(db: Statements): Pick<CloudTx, 'isForked' | 'saveFork' | 'forgetForks'> {
  const ofFog = 'WHERE fog = (SELECT id FROM fog WHERE name = ?)'
  return {
    isForked: (fog, startS) =>
      db.all(`SELECT 1 FROM fork ${ofFog} AND start_s = ?`, [fog, startS]).length > 0,
    saveFork: (fog, startS) =>
      db.run('INSERT OR IGNORE INTO fork (fog, start_s) VALUES (?, ?)', [fogKey(db, fog), startS]),
    forgetForks: (fog) => db.run(`DELETE FROM fork ${ofFog}`, [fog]),
  }
}

function summaryFrom(row: SummaryRow): Summary {
  const { estimated, unknown_time: unknownTime, substitute, first_received_s: firstS } = row
  return {
    startS: row.start_s,
    endS: row.end_s,
    revision: row.revision,
    meters: row.meters,
    readings: row.readings,
    powerSumW: row.power_sum_w,
    powerMinW: row.power_min_w,
    powerMaxW: row.power_max_w,
    voltageSumDv: row.voltage_sum_dv,
    voltageCount: row.voltage_count,
    voltageMinDv: row.voltage_min_dv,
    voltageMaxDv: row.voltage_max_dv,
    importWh: row.import_wh,
    exportWh: row.export_wh,
    quality: { estimated, unknownTime, substitute },
    ...(firstS === null ? {} : { firstReceivedS: firstS }),
  }
}

function addSummary(db: Statements, entry: SummaryEntry): void {
  const { fog, number, receivedS, latest, summary: s } = entry
  const key = fogKey(db, fog, receivedS)
  if (latest) {
    const unmark = 'UPDATE summary SET latest = 0 WHERE fog = ? AND start_s = ? AND latest = 1'
    db.run(unmark, [key, s.startS])
  }
  const place = [key, number, receivedS, latest ? 1 : 0]
  const window = [s.startS, s.endS, s.revision, s.meters, s.readings]
  const power = [s.powerSumW, s.powerMinW, s.powerMaxW]
  const voltage = [s.voltageSumDv, s.voltageCount, s.voltageMinDv, s.voltageMaxDv]
  const energy = [s.importWh, s.exportWh]
  const quality = [s.quality.estimated, s.quality.unknownTime, s.quality.substitute]
  db.run(
    `INSERT INTO summary (fog, number, received_s, latest, start_s, end_s, revision, meters,
       readings, power_sum_w, power_min_w, power_max_w, voltage_sum_dv, voltage_count,
       voltage_min_dv, voltage_max_dv, import_wh, export_wh, estimated, unknown_time, substitute,
       first_received_s)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    [...place, ...window, ...power, ...voltage, ...energy, ...quality, s.firstReceivedS ?? null],
  )
}

function orNull(row: SummaryRow | null): Summary | null {
  return row ? summaryFrom(row) : null
}
