import type { EventEmitter } from 'node:events'
import { Readable } from 'node:stream'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { Queries, SummaryView } from '#cloud-store'
import { HttpError } from './errors.ts'
import { querySchema } from './schemas.ts'

export interface StreamOptions {
  queries: Queries
  /** Emits `stored` after each commit that changed something. */
  changes: EventEmitter
  maxStreams: number
  /** A comment this often keeps proxies from closing a quiet stream. */
  heartbeatMs: number
}

interface StreamParameters {
  fog?: string
  after?: number
}

const BATCH = 100
const DESCRIPTION =
  'Server-sent events: every stored revision as `event: summary`, its id as `id:`. Starts with the next one stored, ' +
  'or after `after` or the Last-Event-ID header, so a reader who reconnects misses none.'

/** GET /api/v1/summaries/stream (https://html.spec.whatwg.org/multipage/server-sent-events.html). */
export function addStreamRoute(app: FastifyInstance, options: StreamOptions): void {
  const open = new Set<AbortController>()
  app.addHook('preClose', async () => {
    for (const stream of open) stream.abort()
  })
  const schema = {
    summary: 'Watch summaries as they are stored.',
    description: DESCRIPTION,
    querystring: querySchema('fog', 'after'),
    produces: ['text/event-stream'],
    response: {
      200: { type: 'string', description: 'text/event-stream' },
      '4xx': { $ref: 'Error#' },
      '5xx': { $ref: 'Error#' },
    },
  }
  app.get<{ Querystring: StreamParameters }>(
    '/api/v1/summaries/stream',
    { schema },
    (request, reply) => {
      if (open.size >= options.maxStreams)
        throw new HttpError(
          503,
          'http/too-many-streams',
          'too many readers are watching; try later',
        )
      const after = startOf(request, options.queries)
      const stream = new AbortController()
      open.add(stream)
      stream.signal.addEventListener('abort', () => open.delete(stream), { once: true })
      request.raw.on('close', () => stream.abort())
      const events = Readable.from(follow(options, request.query.fog, after, stream.signal))
      return reply
        .header('content-type', 'text/event-stream')
        .header('cache-control', 'no-store')
        .send(events)
    },
  )
}

function startOf(request: FastifyRequest<{ Querystring: StreamParameters }>, q: Queries): number {
  const last = request.headers['last-event-id']
  if (typeof last === 'string' && /^\d{1,15}$/.test(last)) return Number(last)
  return request.query.after ?? q.newestId()
}

/** Reads the store whenever it changed; a slow reader simply asks less often. */
async function* follow(
  { queries, changes, heartbeatMs }: StreamOptions,
  fog: string | undefined,
  after: number,
  signal: AbortSignal,
): AsyncGenerator<string> {
  // Listening before the first read: nothing stored in between goes unseen.
  const wait = createWaiter(changes, heartbeatMs, signal)
  let last = after
  try {
    yield 'retry: 2000\n\n'
    while (!signal.aborted) {
      const views = queries.watchSummaries({ fog, after: last, limit: BATCH })
      for (const view of views) yield eventText(view)
      last = views.at(-1)?.id ?? last
      if (views.length === BATCH) continue
      if ((await wait.next()) === 'quiet') yield ': quiet\n\n'
    }
  } finally {
    wait.stop()
  }
}

function eventText(view: SummaryView): string {
  return `id: ${view.id}\nevent: summary\ndata: ${JSON.stringify(view)}\n\n`
}

interface Waiter {
  /** `changed` at once when something was stored since the last call. */
  next(): Promise<'changed' | 'quiet'>
  stop(): void
}

function createWaiter(changes: EventEmitter, heartbeatMs: number, signal: AbortSignal): Waiter {
  let changed = false
  let wake: ((why: 'changed' | 'quiet') => void) | null = null
  const onChange = (): void => {
    changed = true
    wake?.('changed')
  }
  changes.on('stored', onChange)
  signal.addEventListener('abort', onChange, { once: true })
  return {
    async next() {
      let timer: NodeJS.Timeout | undefined
      const why = await new Promise<'changed' | 'quiet'>((resolve) => {
        wake = resolve
        if (changed || signal.aborted) resolve('changed')
        else timer = setTimeout(resolve, heartbeatMs, 'quiet')
      })
      clearTimeout(timer)
      wake = null
      changed = false
      return why
    },
    stop: () => void changes.off('stored', onChange),
  }
}
