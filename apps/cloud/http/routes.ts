import type { FastifyInstance } from 'fastify'
import { parsePeriod } from '#cloud-store'
import type { Queries } from '#cloud-store'
import type { Clock } from '#ports'
import { pageSchema, querySchema } from './schemas.ts'

interface ListParameters {
  fog?: string
  meter?: string
  code?: string
  kind?: string
  flagged?: boolean
  since?: string
  until?: string
  limit?: number
  cursor?: string
}

export interface RouteOptions {
  queries: Queries
  clock: Clock
}

const failures = { '4xx': { $ref: 'Error#' }, '5xx': { $ref: 'Error#' } }

/** Everything that reads the store and answers once. */
export function addQueryRoutes(app: FastifyInstance, { queries, clock }: RouteOptions): void {
  const nowS = (): number => Math.floor(clock.now() / 1000)
  const times = (query: ListParameters) => parsePeriod(query, nowS())

  function list(
    path: string,
    item: string,
    summary: string,
    parameters: object,
    answer: (query: ListParameters) => object,
  ): void {
    const response = { 200: pageSchema(item), ...failures }
    const schema = { summary, querystring: parameters, response }
    app.get<{ Querystring: ListParameters }>(path, { schema }, (request) => answer(request.query))
  }

  const paging = ['limit', 'cursor'] as const
  const period = ['since', 'until'] as const
  list(
    '/api/v1/summaries',
    'Summary',
    'Windows in their latest revision, newest first; since and until apply to the start.',
    querySchema('fog', ...period, ...paging),
    (query) => queries.listSummaries({ ...query, ...times(query) }),
  )
  list('/api/v1/fogs', 'Fog', 'Fog nodes.', querySchema('fog', ...paging), (query) =>
    queries.listFogs({ ...query, nowS: nowS() }),
  )
  list(
    '/api/v1/meters',
    'Meter',
    'Meters with their newest signed registers; since and until apply to when one was last heard of.',
    querySchema('fog', 'meter', ...period, ...paging),
    (query) => queries.listMeters({ ...query, ...times(query) }),
  )
  list(
    '/api/v1/registers',
    'Register',
    'Signed registers, last arrived first, with the bytes to verify them anywhere.',
    querySchema('fog', 'meter', 'flagged', ...period, ...paging),
    (query) => queries.listRegisters({ ...query, ...times(query) }),
  )
  list(
    '/api/v1/events',
    'Event',
    'Events, last arrived first.',
    querySchema('fog', 'code', ...period, ...paging),
    (query) => queries.listEvents({ ...query, ...times(query) }),
  )
  list(
    '/api/v1/gaps',
    'Gap',
    'Ranges of readings that are missing, late, estimated or not summed up; since and until ask for those that touch the time between.',
    querySchema('fog', 'meter', 'kind', ...period, ...paging),
    (query) => queries.listGaps({ ...query, ...times(query) }),
  )
  addSingles(app, queries, nowS)
}

function addSingles(app: FastifyInstance, queries: Queries, nowS: () => number): void {
  const everything = 'Everything in one glance.'
  app.get('/api/v1/status', single('Status', everything), () => queries.status(nowS()))
  const prototype = 'The prototype’s summary: averages in kW and V.'
  app.get('/summary', single('PrototypeSummary', prototype), () => queries.prototypeSummary())
}

function single(name: string, summary: string): { schema: object } {
  const response = { 200: { $ref: `${name}#` }, ...failures }
  return { schema: { summary, querystring: querySchema(), response } }
}
