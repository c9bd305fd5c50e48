import type { CloudStore } from '#cloud'
import type { EnrolmentStore } from '#enrolment'
import { openDatabase } from '#sqlite'
import type { Database } from '#sqlite'
import {
  listEvents,
  listFogs,
  listMeters,
  listRegisters,
  listSummaries,
  watchSummaries,
} from './lists.ts'
import type { EventQuery, FogQuery, RegisterQuery, WatchQuery } from './lists.ts'
import type { ListQuery, Page } from './page.ts'
import { listGaps } from './gap-list.ts'
import type { GapQuery, GapView } from './gap-list.ts'
import { createEnrolmentStore } from './enrolment-tables.ts'
import { migrations } from './schema.ts'
import { createStatements, first } from './statements.ts'
import { createStore } from './store.ts'
import { accounting, prototypeSummary, status } from './totals.ts'
import type { Accounting, PrototypeSummary, StatusView } from './totals.ts'
import type { EventView, RegisterView } from './evidence-views.ts'
import type { FogView, MeterView, SummaryView } from './views.ts'

/**
 * Every question one can ask the cloud; HTTP and command line both go through here. Input errors
 * throw `query/…`, the database's own `sqlite/…`.
 */
export interface Queries {
  listSummaries(query: ListQuery): Page<SummaryView>
  watchSummaries(query: WatchQuery): SummaryView[]
  /** The id of the newest stored revision, 0 when there is none: where a new watcher starts. */
  newestId(): number
  listFogs(query: FogQuery): Page<FogView>
  listMeters(query: ListQuery & { meter?: string | undefined }): Page<MeterView>
  listRegisters(query: RegisterQuery): Page<RegisterView>
  listEvents(query: EventQuery): Page<EventView>
  listGaps(query: GapQuery): Page<GapView>
  status(nowS: number): StatusView
  prototypeSummary(): PrototypeSummary
  accounting(): Accounting
}

const owner = { kind: 'cloud', table: 'summary' } as const

/** Opens (and creates) the file of the cloud service `device` for the one program that writes it. */
export function openCloudStore(
  path: string,
  device?: string,
): {
  store: CloudStore
  enrolments: EnrolmentStore
  queries: Queries
  database: Database
} {
  const database = openDatabase(path, { migrations, owner: { ...owner, device } })
  return {
    store: createStore(database),
    enrolments: createEnrolmentStore(database),
    queries: createQueries(database),
    database,
  }
}

/** Opens the file for looking only, beside the running cloud. */
export function openCloudQueries(path: string): { queries: Queries; close: () => void } {
  const database = openDatabase(path, { migrations, owner, readonly: true })
  return { queries: createQueries(database), close: () => database.close() }
}

function createQueries(database: Database): Queries {
  const db = createStatements(database)
  return {
    listSummaries: (query) => listSummaries(db, query),
    watchSummaries: (query) => watchSummaries(db, query),
    newestId: () => first(db.all<{ id: number }>('SELECT max(id) AS id FROM summary'))?.id ?? 0,
    listFogs: (query) => listFogs(db, query),
    listMeters: (query) => listMeters(db, query),
    listRegisters: (query) => listRegisters(db, query),
    listEvents: (query) => listEvents(db, query),
    listGaps: (query) => listGaps(db, query),
    status: (nowS) => status(db, nowS),
    prototypeSummary: () => prototypeSummary(db),
    accounting: () => accounting(db),
  }
}
