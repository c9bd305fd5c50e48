import { setTimeout as sleep } from 'node:timers/promises'
import { openCloudQueries, parsePeriod } from '#cloud-store'
import type { ListQuery, Queries, SummaryView } from '#cloud-store'
import { codeOf, CodedError } from '#errors'
import type { Filters, QuerySource, WatchFilters } from './source.ts'

const POLL_MS = 500

/** Reads the cloud's file beside the running service, without ever writing to it. */
export function openStoreSource(path: string): QuerySource {
  const file = open(path)
  const { queries } = file
  return {
    summaries: async (filters) => queries.listSummaries(timed(filters)),
    fogs: async (filters) => queries.listFogs({ ...filters, nowS: nowS() }),
    meters: async (filters) => queries.listMeters(timed(filters)),
    gaps: async (filters) => queries.listGaps(timed(filters)),
    status: async () => queries.status(nowS()),
    watch: (filters, signal) => watch(queries, filters, signal),
    close: () => file.close(),
  }
}

function timed({ since, until, ...rest }: Filters): ListQuery & Pick<Filters, 'meter' | 'kind'> {
  return { ...rest, ...parsePeriod({ since, until }, nowS()) }
}

function nowS(): number {
  return Math.floor(Date.now() / 1000)
}

function open(path: string): ReturnType<typeof openCloudQueries> {
  try {
    return openCloudQueries(path)
  } catch (error) {
    if (codeOf(error) !== 'sqlite/cannot-open') throw error
    throw new CodedError(
      'cli/no-store',
      `cannot open ${path}; give store.path of the cloud's configuration, or leave out --store to ask over HTTP`,
      { cause: error },
    )
  }
}

/** Another process writes the file and cannot call us, so this looks twice a second. */
async function* watch(
  queries: Queries,
  { fog, after }: WatchFilters,
  signal: AbortSignal,
): AsyncGenerator<SummaryView> {
  let last = after ?? queries.newestId()
  while (!signal.aborted) {
    const views = queries.watchSummaries({ fog, after: last })
    yield* views
    last = views.at(-1)?.id ?? last
    if (views.length === 0) await sleep(POLL_MS, undefined, { signal }).catch(() => undefined)
  }
}
