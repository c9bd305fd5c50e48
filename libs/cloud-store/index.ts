/** The cloud's tables on SQLite: the drain's store, and the queries of HTTP and command line. */
export { openCloudQueries, openCloudStore } from './open.ts'
export type { Queries } from './open.ts'
export type { GapView } from './gap-list.ts'
export type { ListQuery, Page } from './page.ts'
export { isoTime, parsePeriod } from './time.ts'
export type { Accounting, StatusView } from './totals.ts'
export type { FogView, MeterView, SummaryView } from './views.ts'
