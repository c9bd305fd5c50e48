import type { CloudTx, FogRecord } from '#cloud'
import { first } from './statements.ts'
import type { Statements } from './statements.ts'

interface FogRow {
  durable: number
  next: number
  store: number | null
  number_offset: number
  newest: Uint8Array
  summaries: number
  readings: string
  power_sum_w: string
  voltage_sum_dv: string
  voltage_count: string
  import_wh: string
  export_wh: string
}

/** The key of a fog, added with empty totals when it is new. */
export function fogKey(db: Statements, name: string, seenS = 0): number {
  const find = 'SELECT id FROM fog WHERE name = ?'
  const known = first(db.all<{ id: number }>(find, [name]))
  if (known) return known.id
  db.run(
    `INSERT INTO fog (name, first_seen_s, last_seen_s, durable, next, summaries, readings,
       power_sum_w, voltage_sum_dv, voltage_count, import_wh, export_wh)
     VALUES (?, ?, ?, 0, 1, 0, '0', '0', '0', '0', '0', '0')`,
    [name, seenS, seenS],
  )
  return first(db.all<{ id: number }>(find, [name]))?.id ?? 0
}

/** Inbox state, totals, events and refusals. */
type FogTables = Pick<
  CloudTx,
  'fog' | 'saveFog' | 'saveStatus' | 'addEvent' | 'addRefused' | 'saveGap'
>

export function fogTables(db: Statements): FogTables {
  return {
    fog(name) {
      const row = first(db.all<FogRow>('SELECT * FROM fog WHERE name = ?', [name]))
      return row ? fogRecord(row) : null
    },
    saveFog: (name, record, seenS) => saveFog(db, name, record, seenS),
    saveStatus(name, status) {
      const key = fogKey(db, name)
      db.run('UPDATE fog SET status = ? WHERE id = ?', [JSON.stringify(status), key])
    },
    addEvent({ source, fog, receivedS, timeS, code, deviceId, detail }) {
      db.run(
        `INSERT INTO event (source, fog, received_s, time_s, code, device, detail)
         VALUES (?, ?, ?, ?, ?, ?, ?)`,
        [source, fogKey(db, fog, receivedS), receivedS, timeS, code, deviceId, detail],
      )
    },
    saveGap({ fog, receivedS, deviceId, kind, first: from, last, ...rest }) {
      const { startS, endS, readings, importWh, exportWh } = rest
      const range = [fogKey(db, fog, receivedS), deviceId, kind, from, last, startS, endS]
      db.run(
        `INSERT INTO gap (fog, device, kind, first, last, start_s, end_s, readings, import_wh,
           export_wh, received_s)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT (device, fog, kind, first) DO UPDATE SET last = excluded.last,
           start_s = excluded.start_s, end_s = excluded.end_s, readings = excluded.readings,
           import_wh = excluded.import_wh, export_wh = excluded.export_wh,
           received_s = excluded.received_s
         WHERE excluded.last >= gap.last`,
        [...range, readings, importWh, exportWh, receivedS],
      )
    },
    addRefused({ fog, number, receivedS, kind, code }) {
      db.run('INSERT INTO refused (fog, number, received_s, kind, code) VALUES (?, ?, ?, ?, ?)', [
        fogKey(db, fog, receivedS),
        number,
        receivedS,
        kind,
        code,
      ])
    },
  }
}

function fogRecord(row: FogRow): FogRecord {
  return {
    durable: row.durable,
    next: row.next,
    store: row.store,
    offset: row.number_offset,
    newest: Uint8Array.from(row.newest),
    totals: {
      summaries: row.summaries,
      readings: BigInt(row.readings),
      powerSumW: BigInt(row.power_sum_w),
      voltageSumDv: BigInt(row.voltage_sum_dv),
      voltageCount: BigInt(row.voltage_count),
      importWh: BigInt(row.import_wh),
      exportWh: BigInt(row.export_wh),
    },
  }
}

function saveFog(db: Statements, name: string, record: FogRecord, seenS: number): void {
  const key = fogKey(db, name, seenS)
  const { durable, next, store, offset, newest, totals: t } = record
  const sums = [t.readings, t.powerSumW, t.voltageSumDv, t.voltageCount, t.importWh, t.exportWh]
  const texts = sums.map(String)
  db.run(
    `UPDATE fog SET durable = ?, next = ?, store = ?, number_offset = ?, newest = ?,
       summaries = ?, readings = ?, power_sum_w = ?, voltage_sum_dv = ?, voltage_count = ?, import_wh = ?, export_wh = ?, last_seen_s = ?,
       first_seen_s = CASE first_seen_s WHEN 0 THEN ? ELSE first_seen_s END
     WHERE id = ?`,
    [durable, next, store, offset, newest, t.summaries, ...texts, seenS, seenS, key],
  )
}
