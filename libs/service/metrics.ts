import { createServer, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { collectDefaultMetrics, Counter, Gauge, Registry } from 'prom-client'
import { CodedError } from '#errors'
import { version } from './version.ts'

/** Makes metrics called `fogmeter_…` in one registry. */
export interface Metrics {
  registry: Registry
  /** Counted here. Name it `…_total`. */
  counter(name: string, help: string, labels?: readonly string[]): Counter
  /** `read` is asked at each scrape; the gauge is absent while it says null. */
  gauge(name: string, help: string, read: () => number | null): void
  /** A counter kept elsewhere: `read` yields the running total when somebody asks. */
  total(name: string, help: string, read: () => number): void
  /** The same with a label: `read` yields each of its values with its running total. */
  totals(name: string, help: string, label: string, read: () => Iterable<[string, number]>): void
}

/** A fresh registry with the process's own figures and `fogmeter_build_info`. */
export function createMetrics(program: string): Metrics {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry })
  const common = (name: string, help: string) => ({
    name: `fogmeter_${name}`,
    help,
    registers: [registry],
  })
  const labelNames = ['program', 'version', 'node']
  new Gauge({ ...common('build_info', 'What is running.'), labelNames }).set(
    { program, version, node: process.versions.node },
    1,
  )
  return {
    registry,
    counter: (name, help, labels = []) =>
      new Counter({ ...common(name, help), labelNames: [...labels] }),
    gauge: (name, help, read) => addGauge(common(name, help), read),
    total: (name, help, read) => addTotals(common(name, help), [], () => [[{}, read()]]),
    totals: (name, help, label, read) =>
      addTotals(common(name, help), [label], () =>
        Array.from(read(), ([value, total]) => [{ [label]: value }, total]),
      ),
  }
}

interface Common {
  name: string
  help: string
  registers: Registry[]
}

function addGauge(common: Common, read: () => number | null): void {
  const gauge: Gauge = new Gauge({
    ...common,
    collect: () => {
      const value = read()
      if (value === null) gauge.remove()
      else gauge.set(value)
    },
  })
}

function addTotals(
  common: Common,
  labelNames: string[],
  read: () => [labels: Record<string, string>, total: number][],
): void {
  const counter: Counter = new Counter({
    ...common,
    labelNames,
    collect: () => {
      counter.reset()
      for (const [labels, total] of read()) counter.inc(labels, total)
    },
  })
}

export interface MetricsOptions {
  /** Null: no listener at all. */
  listen: { host: string; port: number } | null
  registry: Registry
  /** Null when all is well, else one sentence about what is not. */
  health: () => string | null
  /** What `GET /status` shows as JSON; the page does not exist without it. */
  status?: () => object
}

export interface MetricsServer {
  /** The port in use; null without a listener. */
  port: number | null
  close(): Promise<void>
}

/**
 * `GET /metrics` for Prometheus, `GET /healthz` (200 `ok`, or 503 with the reason) and, where the
 * program has one, `GET /status`. No authentication: listen on loopback, or on a network where
 * everyone may read counts.
 * @throws service/metrics-listen when the address cannot be had
 */
export async function startMetrics(options: MetricsOptions): Promise<MetricsServer> {
  const { listen, registry, health, status } = options
  const pages = `only /metrics${status ? ', /healthz and /status' : ' and /healthz'}\n`
  if (listen === null) return { port: null, close: () => Promise.resolve() }
  const server = createServer({ requestTimeout: 5_000, headersTimeout: 5_000 })
  server.maxConnections = 32
  server.on('request', (request, response) => {
    if (request.method !== 'GET') answer(response, 405, 'only GET\n')
    else if (request.url === '/healthz') answerHealth(response, health())
    else if (request.url === '/metrics') void answerMetrics(response, registry)
    else if (request.url === '/status' && status) answerStatus(response, status())
    else answer(response, 404, pages)
  })
  await opened(server, listen)
  return {
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

function opened(server: Server, { host, port }: { host: string; port: number }): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error) => {
      const message = `cannot listen on ${host}:${port} for metrics: ${error.message}; change metrics.listen`
      reject(new CodedError('service/metrics-listen', message, { cause: error }))
    })
    server.listen({ host, port }, resolve)
  })
}

function answer(response: ServerResponse, status: number, body: string, type = 'text/plain'): void {
  response.writeHead(status, { 'content-type': type }).end(body)
}

function answerHealth(response: ServerResponse, problem: string | null): void {
  if (problem === null) answer(response, 200, 'ok\n')
  else answer(response, 503, `${problem}\n`)
}

function answerStatus(response: ServerResponse, status: object): void {
  answer(response, 200, `${JSON.stringify(status)}\n`, 'application/json')
}

async function answerMetrics(response: ServerResponse, registry: Registry): Promise<void> {
  try {
    answer(response, 200, await registry.metrics(), registry.contentType)
  } catch {
    answer(response, 500, 'a metric could not be read\n')
  }
}
