import { and, limitOf, pageOf, parseCursor, whereSql } from './page.ts'
import type { ListQuery, Page, Where } from './page.ts'
import type { Statements } from './statements.ts'
import { eventView, registerView } from './evidence-views.ts'
import type { EventView, EventViewRow, RegisterView, RegisterViewRow } from './evidence-views.ts'
import { fogView, meterView, summaryView } from './views.ts'
import type {
  FogView,
  FogViewRow,
  MeterView,
  MeterViewRow,
  SummaryView,
  SummaryViewRow,
} from './views.ts'

const summaryColumns = 's.*, s.fog AS fog_id, f.name AS fog_name'

/** Windows by start, newest first, each in its latest revision; `since`/`until` apply to the start. */
export function listSummaries(db: Statements, query: ListQuery): Page<SummaryView> {
  const limit = limitOf(query)
  const where: Where = { clauses: ['s.latest = 1'], params: [] }
  and(where, 's.fog = (SELECT id FROM fog WHERE name = ?)', query.fog)
  and(where, 's.start_s >= ?', query.since)
  and(where, 's.start_s < ?', query.until)
  const after = parseCursor(query.cursor, 2)
  if (after) and(where, '(s.start_s, s.fog) < (?, ?)', after[0], after[1])
  const rows = db.all<SummaryViewRow>(
    `SELECT ${summaryColumns} FROM summary s JOIN fog f ON f.id = s.fog ${whereSql(where)}
     ORDER BY s.start_s DESC, s.fog DESC LIMIT ?`,
    [...where.params, limit + 1],
  )
  return pageOf(rows, limit, summaryView, (row) => `${row.start_s}.${row.fog_id}`)
}

export interface WatchQuery {
  fog?: string | undefined
  /** Only revisions stored after this id. */
  after: number
  limit?: number | undefined
}

/** Every stored revision in order of arrival, so that a reader who keeps the last id misses none. */
export function watchSummaries(db: Statements, query: WatchQuery): SummaryView[] {
  const where: Where = { clauses: ['s.id > ?'], params: [query.after] }
  // The plus keeps SQLite on the id: a watcher reads near the end, in order, without sorting.
  and(where, '+s.fog = (SELECT id FROM fog WHERE name = ?)', query.fog)
  const rows = db.all<SummaryViewRow>(
    `SELECT ${summaryColumns} FROM summary s JOIN fog f ON f.id = s.fog ${whereSql(where)}
     ORDER BY s.id LIMIT ?`,
    [...where.params, limitOf(query)],
  )
  return rows.map(summaryView)
}

export interface FogQuery {
  fog?: string | undefined
  limit?: number | undefined
  cursor?: string | undefined
  /** For the lag. */
  nowS: number
}

/** Fog nodes in the order they first reported. */
export function listFogs(db: Statements, query: FogQuery): Page<FogView> {
  const limit = limitOf(query)
  const where: Where = { clauses: [], params: [] }
  and(where, 'f.name = ?', query.fog)
  and(where, 'f.id > ?', parseCursor(query.cursor, 1)?.[0])
  const rows = db.all<FogViewRow & { id: number }>(
    `SELECT f.*, CAST(f.readings AS REAL) AS readings, CAST(f.import_wh AS REAL) AS import_wh,
       CAST(f.export_wh AS REAL) AS export_wh, n.end_s, n.meters AS meters_in_newest,
       (SELECT count(*) FROM meter WHERE meter.fog = f.id) AS meters,
       (SELECT count(*) FROM refused WHERE refused.fog = f.id) AS refused
     FROM fog f LEFT JOIN summary n ON n.id =
       (SELECT id FROM summary WHERE fog = f.id AND latest = 1 ORDER BY start_s DESC LIMIT 1)
     ${whereSql(where)} ORDER BY f.id LIMIT ?`,
    [...where.params, limit + 1],
  )
  return pageOf(
    rows,
    limit,
    (row) => fogView(row, query.nowS),
    (row) => String(row.id),
  )
}

/** Meters in the order they first appeared; `since`/`until` apply to when the cloud last heard. */
export function listMeters(
  db: Statements,
  query: ListQuery & { meter?: string | undefined },
): Page<MeterView> {
  const limit = limitOf(query)
  const where: Where = { clauses: [], params: [] }
  and(where, 'm.name = ?', query.meter)
  and(where, 'm.fog = (SELECT id FROM fog WHERE name = ?)', query.fog)
  and(where, 'm.last_seen_s >= ?', query.since)
  and(where, 'm.last_seen_s < ?', query.until)
  and(where, 'm.id > ?', parseCursor(query.cursor, 1)?.[0])
  const rows = db.all<MeterViewRow>(
    `SELECT m.id AS meter_id, m.name AS meter_name, f.name AS fog_name, m.first_seen_s,
       m.last_seen_s, r.id AS register_id, r.last, r.end_s, r.end_import_wh, r.end_export_wh, r.status,
       r.flags
     FROM meter m JOIN fog f ON f.id = m.fog LEFT JOIN register r ON r.id = m.newest
     ${whereSql(where)} ORDER BY m.id LIMIT ?`,
    [...where.params, limit + 1],
  )
  return pageOf(rows, limit, meterView, (row) => String(row.meter_id))
}

export interface RegisterQuery extends ListQuery {
  meter?: string | undefined
  /** Only those with a flag. */
  flagged?: boolean | undefined
}

/** Signed registers, last arrived first; `since`/`until` apply to the meter's own end time. */
export function listRegisters(db: Statements, query: RegisterQuery): Page<RegisterView> {
  const limit = limitOf(query)
  const where: Where = { clauses: [], params: [] }
  and(where, 'r.meter = (SELECT id FROM meter WHERE name = ?)', query.meter)
  and(where, 'r.fog = (SELECT id FROM fog WHERE name = ?)', query.fog)
  and(where, 'r.end_s >= ?', query.since)
  and(where, 'r.end_s < ?', query.until)
  and(where, 'r.id < ?', parseCursor(query.cursor, 1)?.[0])
  if (query.flagged) where.clauses.push('r.flags <> 0')
  const rows = db.all<RegisterViewRow>(
    `SELECT r.*, m.name AS meter_name, f.name AS fog_name, c.encoded
     FROM register r JOIN meter m ON m.id = r.meter JOIN fog f ON f.id = r.fog
       JOIN credential c ON c.id = r.credential
     ${whereSql(where)} ORDER BY r.id DESC LIMIT ?`,
    [...where.params, limit + 1],
  )
  return pageOf(rows, limit, registerView, (row) => String(row.id))
}

export interface EventQuery extends ListQuery {
  code?: string | undefined
}

/** Events, last arrived first; `since`/`until` apply to the time the event names. */
export function listEvents(db: Statements, query: EventQuery): Page<EventView> {
  const limit = limitOf(query)
  const where: Where = { clauses: [], params: [] }
  and(where, 'e.fog = (SELECT id FROM fog WHERE name = ?)', query.fog)
  and(where, 'e.code = ?', query.code)
  and(where, 'e.time_s >= ?', query.since)
  and(where, 'e.time_s < ?', query.until)
  and(where, 'e.id < ?', parseCursor(query.cursor, 1)?.[0])
  const rows = db.all<EventViewRow>(
    `SELECT e.*, f.name AS fog_name FROM event e JOIN fog f ON f.id = e.fog
     ${whereSql(where)} ORDER BY e.id DESC LIMIT ?`,
    [...where.params, limit + 1],
  )
  return pageOf(rows, limit, eventView, (row) => String(row.id))
}
