import { createServer, type ServerResponse } from 'node:http'
import { once } from 'node:events'
import { CodedError } from '#errors'
import type { Metrics } from '#service'

export interface ListenerOptions {
  listen: { host: string; port: number } | null
  registry: Metrics['registry']
  health: () => string | null
  status: () => object
}

/** `/metrics`, `/healthz` and, as JSON, `/status`. Returns what closes it. */
export async function startListener(options: ListenerOptions): Promise<() => Promise<void>> {
  const { listen } = options
  if (listen === null) return () => Promise.resolve()
  const server = createServer({ requestTimeout: 5_000, headersTimeout: 5_000 })
  server.maxConnections = 32
  server.on('request', (request, response) => {
    const page = request.method === 'GET' ? request.url : null
    respond(page ?? null, response, options).catch(() => response.destroy())
  })
  server.listen(listen)
  try {
    await once(server, 'listening')
  } catch (cause) {
    throw new CodedError(
      'meter/metrics-listen',
      `cannot listen on ${listen.host}:${listen.port} for metrics; change metrics.listen`,
      { cause },
    )
  }
  return () =>
    new Promise((resolve) => {
      server.close(() => resolve())
      server.closeAllConnections()
    })
}

async function respond(
  page: string | null,
  response: ServerResponse,
  { registry, health, status }: ListenerOptions,
): Promise<void> {
  const send = (code: number, type: string, body: string) =>
    void response.writeHead(code, { 'content-type': type }).end(body)
  if (page === '/status') return send(200, 'application/json', `${JSON.stringify(status())}\n`)
  if (page === '/metrics') return send(200, registry.contentType, await registry.metrics())
  const problem = health()
  if (page !== '/healthz') return send(404, 'text/plain', 'only /metrics, /healthz and /status\n')
  if (problem === null) return send(200, 'text/plain', 'ok\n')
  send(503, 'text/plain', `${problem}\n`)
}
