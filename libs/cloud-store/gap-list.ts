import type { GapKind } from '#messages'
import { and, limitOf, pageOf, parseCursor, whereSql } from './page.ts'
import type { ListQuery, Page, Where } from './page.ts'
import type { Statements } from './statements.ts'
import { isoTime } from './time.ts'

/** A range of a meter's readings about which something is not as it should be. */
export interface GapView {
  id: number
  meter: string
  fog: string
  /** See `GapKind` of #messages. */
  kind: string
  /** Numbers of the range; of a silence those of the readings around it. */
  first: number
  last: number
  /** Null where the time is not known. */
  start: string | null
  end: string | null
  seconds: number | null
  /** Readings concerned; 0 for a hole. */
  readings: number
  /** Energy across it, from the registers; null where they cannot tell. */
  importWh: number | null
  exportWh: number | null
  /** Whether that energy is in some window of this fog node. */
  counted: boolean
  /** Other fog nodes that brought a register out of a missing range: it may be complete there. */
  alsoAt: string[]
  received: string
}

interface GapRow {
  id: number
  device: string
  fog_name: string
  kind: string
  first: number
  last: number
  start_s: number | null
  end_s: number | null
  readings: number
  import_wh: number | null
  export_wh: number | null
  received_s: number
  also_at: string | null
}

export interface GapQuery extends ListQuery {
  meter?: string | undefined
  kind?: string | undefined
}

/** Kinds whose energy no window of the fog node has. */
const notCounted: readonly string[] = ['missing', 'not-summed'] satisfies GapKind[]

const alsoAtSql = `(SELECT group_concat(DISTINCT other.name) FROM register r
  JOIN fog other ON other.id = r.fog
  WHERE g.kind = 'missing' AND r.meter = (SELECT id FROM meter WHERE name = g.device)
    AND r.fog <> g.fog AND r.last BETWEEN g.first AND g.last)`

/** Ranges, last known of first; `since`/`until` ask for those that touch the time between them. */
export function listGaps(db: Statements, query: GapQuery): Page<GapView> {
  const limit = limitOf(query)
  const where: Where = { clauses: [], params: [] }
  and(where, 'g.device = ?', query.meter)
  and(where, 'g.fog = (SELECT id FROM fog WHERE name = ?)', query.fog)
  and(where, 'g.kind = ?', query.kind)
  and(where, 'coalesce(g.end_s, g.start_s, g.received_s) >= ?', query.since)
  and(where, 'coalesce(g.start_s, g.end_s, g.received_s) < ?', query.until)
  and(where, 'g.id < ?', parseCursor(query.cursor, 1)?.[0])
  const rows = db.all<GapRow>(
    `SELECT g.*, f.name AS fog_name, ${alsoAtSql} AS also_at
     FROM gap g JOIN fog f ON f.id = g.fog ${whereSql(where)} ORDER BY g.id DESC LIMIT ?`,
    [...where.params, limit + 1],
  )
  return pageOf(rows, limit, gapView, (row) => String(row.id))
}

function gapView(row: GapRow): GapView {
  const { start_s: startS, end_s: endS } = row
  return {
    id: row.id,
    meter: row.device,
    fog: row.fog_name,
    kind: row.kind,
    first: row.first,
    last: row.last,
    start: startS === null ? null : isoTime(startS),
    end: endS === null ? null : isoTime(endS),
    seconds: startS === null || endS === null ? null : endS - startS,
    readings: row.readings,
    importWh: row.import_wh,
    exportWh: row.export_wh,
    counted: !notCounted.includes(row.kind),
    alsoAt: row.also_at?.split(',') ?? [],
    received: isoTime(row.received_s),
  }
}
