import type { EventEmitter } from 'node:events'
import helmet from '@fastify/helmet'
import rateLimit from '@fastify/rate-limit'
import swagger from '@fastify/swagger'
import Fastify, { LogController } from 'fastify'
import type { FastifyBaseLogger, FastifyInstance } from 'fastify'
import type { Queries } from '#cloud-store'
import { CodedError } from '#errors'
import type { Clock } from '#ports'
import {
  addressText,
  assertGuarded,
  loadToken,
  requireLocalHostName,
  requireToken,
} from './auth.ts'
import { answerBrokenRequest, answerError, answerNotFound, HttpError } from './errors.ts'
import { addEnrolmentRoutes, type EnrolmentService } from './enrolment-routes.ts'
import { addQueryRoutes } from './routes.ts'
import { components } from './schemas.ts'
import { addStreamRoute } from './stream.ts'

export interface HttpOptions {
  /** Port 0 takes any free one. */
  listen: { host: string; port: number }
  tokenFile?: string | undefined
  queries: Queries
  clock: Clock
  /** Emits `stored` after each commit that changed something. */
  changes: EventEmitter
  /** Null when all is well, else one sentence: a failing service answers 503 on /healthz. */
  health: () => string | null
  metrics: { contentType: string; metrics(): Promise<string> }
  version: string
  log?: FastifyBaseLogger
  /** Per client address. */
  requestsPerMinute: number
  /** At a time, from everybody together; what comes on top is closed unheard. */
  connections: number
  /** A request that has not arrived as a whole after this long, or twice it, ends its connection. */
  requestTimeoutMs: number
  /** Null: this cloud enrols nobody. */
  enrolment: EnrolmentService | null
}

export interface HttpServer {
  /** `http://host:port` as bound. */
  url: string
  close(): Promise<void>
}

const MAX_STREAMS = 100
const HEARTBEAT_MS = 15_000

/**
 * Starts the HTTP side of the cloud. Throws `http/token-missing` when the address can be reached
 * from other machines and no token is configured, before anything listens.
 */
export async function startHttp(options: HttpOptions): Promise<HttpServer> {
  const app = await createApp(options)
  try {
    await app.listen(options.listen)
  } catch (error) {
    await app.close()
    throw listenError(options.listen, error)
  }
  return { url: boundUrl(app), close: () => app.close() }
}

function boundUrl(app: FastifyInstance): string {
  const address = app.server.address()
  if (address === null || typeof address === 'string') return String(address)
  const host = address.family === 'IPv6' ? `[${address.address}]` : address.address
  return `http://${host}:${address.port}`
}

function listenError(listen: HttpOptions['listen'], error: unknown): unknown {
  if (!(error instanceof Error) || !('code' in error)) return error
  const busy = error.code === 'EADDRINUSE'
  const hint = busy ? 'another program listens there; choose another port' : error.message
  const message = `http.listen = "${addressText(listen)}": ${hint}`
  return new CodedError('http/cannot-listen', message, { cause: error })
}

/** The application without its socket. */
async function createApp(options: HttpOptions): Promise<FastifyInstance> {
  const token = tokenOf(options)
  if (options.enrolment !== null && token === null) throw enrolmentUnguarded()
  const app = Fastify({
    ...(options.log ? { loggerInstance: options.log } : {}),
    logController: new LogController({ disableRequestLogging: true }),
    frameworkErrors: answerError,
    clientErrorHandler: answerBrokenRequest,
    // Fastify sets the server's own request timeout, and to none unless told
    requestTimeout: options.requestTimeoutMs,
    http: {
      headersTimeout: options.requestTimeoutMs,
      connectionsCheckingInterval: options.requestTimeoutMs,
    },
    forceCloseConnections: true,
    bodyLimit: 1_024,
    ajv: { customOptions: { removeAdditional: false } },
  })
  app.server.maxConnections = options.connections
  app.setErrorHandler(answerError)
  app.setNotFoundHandler(answerNotFound)
  await app.register(helmet)
  await limitRate(app, options.requestsPerMinute)
  if (token) await requireToken(app, token)
  else requireLocalHostName(app)
  await app.register(swagger, openApi(options.version, token !== null))
  for (const component of components) app.addSchema(component)
  app.after(() => {
    addQueryRoutes(app, options)
    addStreamRoute(app, { ...options, maxStreams: MAX_STREAMS, heartbeatMs: HEARTBEAT_MS })
    if (options.enrolment !== null) addEnrolmentRoutes(app, options.enrolment)
    addServiceRoutes(app, options)
  })
  await app.ready()
  return app
}

/**
 * Counts every request of an address before anything else looks at it, so that wrong tokens and
 * unknown paths count as well. (The plugin's own hooks stand on routes, behind those of the server.)
 */
async function limitRate(app: FastifyInstance, max: number): Promise<void> {
  await app.register(rateLimit, { global: false, max, timeWindow: 60_000 })
  const count = app.createRateLimit()
  app.addHook('onRequest', async (request, reply) => {
    if (request.routeOptions.url === '/healthz') return
    const use = await count(request)
    if (use.isAllowed || !use.isExceeded) return
    reply.header('retry-after', use.ttlInSeconds)
    const when = `try again in ${use.ttlInSeconds} s`
    throw new HttpError(429, 'http/rate-limited', `too many requests; ${when}`)
  })
}

function tokenOf({ listen, tokenFile }: HttpOptions): ReturnType<typeof loadToken> | null {
  assertGuarded({ listen, tokenFile })
  return tokenFile === undefined ? null : loadToken(tokenFile)
}

/** Asking is for everybody on this machine; approving a device is not. */
function enrolmentUnguarded(): CodedError {
  return new CodedError(
    'http/token-missing',
    '[enrolment] lets whoever holds the API token name fog nodes: set http.token_file to a file ' +
      'holding a secret token (mode 600)',
  )
}

function openApi(version: string, withToken: boolean) {
  const bearer = { type: 'http', scheme: 'bearer' } as const
  return {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Fogmeter cloud',
        version,
        description: 'Summaries, signed registers, the state of fog nodes, and their enrolment.',
      },
      ...(withToken
        ? { components: { securitySchemes: { bearer } }, security: [{ bearer: [] }] }
        : {}),
    },
    refResolver: {
      buildLocalReference: (json: { $id?: unknown }, _base: unknown, _part: unknown, i: number) =>
        typeof json.$id === 'string' ? json.$id : `schema-${i}`,
    },
  }
}

/** For machines that look after this one. */
function addServiceRoutes(app: FastifyInstance, { health, metrics }: HttpOptions): void {
  const answers = { 200: { $ref: 'Health#' }, 503: { $ref: 'Health#' } }
  app.get(
    '/healthz',
    { schema: { summary: 'Health.', response: answers } },
    async (_request, reply) => {
      const problem = health()
      if (problem === null) return { status: 'ok', detail: 'connected and storing' }
      return reply.code(503).send({ status: 'failing', detail: problem })
    },
  )
  app.get('/metrics', { schema: { hide: true } }, async (_request, reply) =>
    reply.header('content-type', metrics.contentType).send(await metrics.metrics()),
  )
  app.get('/api/v1/openapi.json', { schema: { hide: true } }, () => app.swagger())
}
