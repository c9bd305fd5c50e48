import type { FogView, GapView, MeterView, Page, StatusView, SummaryView } from '#cloud-store'
import type { HttpAccess } from './http-source.ts'

/** Filters as typed; times are understood by whoever answers. */
export interface Filters {
  fog?: string
  meter?: string
  kind?: string
  since?: string
  until?: string
  limit?: number
  cursor?: string
}

export interface WatchFilters {
  fog?: string
  /** Id of the last revision already seen; undefined starts with the next one stored. */
  after?: number
}

/** Where answers come from: the cloud's HTTP API, or its SQLite file on the same machine. */
export interface QuerySource {
  summaries(filters: Filters): Promise<Page<SummaryView>>
  fogs(filters: Pick<Filters, 'fog' | 'limit' | 'cursor'>): Promise<Page<FogView>>
  meters(filters: Filters): Promise<Page<MeterView>>
  gaps(filters: Filters): Promise<Page<GapView>>
  status(): Promise<StatusView>
  /** Every revision as it is stored, until `signal` aborts. */
  watch(filters: WatchFilters, signal: AbortSignal): AsyncIterable<SummaryView>
  close(): void
}

export interface SourceOptions extends HttpAccess {
  store?: string
}

/** Loads only the side that is needed: the command line should start quickly. */
export async function openSource(options: SourceOptions): Promise<QuerySource> {
  if (options.store !== undefined) {
    const { openStoreSource } = await import('./store-source.ts')
    return openStoreSource(options.store)
  }
  const { openHttpSource } = await import('./http-source.ts')
  return openHttpSource(options)
}
