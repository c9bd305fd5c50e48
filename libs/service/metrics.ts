import { createServer, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client'
import { CodedError } from '#errors'
import { version } from './version.ts'

/** Makes metrics called `fogmeter_…` in one registry. */
export interface Metrics {
  registry: Registry
  /** Name it `…_total`. With `read`, it shows that running total whenever somebody asks. */
  counter(name: string, help: string, labels?: readonly string[]): Counter
  gauge(name: string, help: string, read?: () => number): Gauge
  histogram(name: string, help: string, buckets: readonly number[]): Histogram
  /** A counter kept elsewhere: `read` yields the running totals when somebody asks. */
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
    gauge: (name, help, read) =>
      new Gauge({
        ...common(name, help),
        ...(read && { collect: (): void => gaugeOf(registry, name).set(read()) }),
      }),
    histogram: (name, help, buckets) =>
      new Histogram({ ...common(name, help), buckets: [...buckets] }),
    totals: (name, help, label, read) => void totals(common(name, help), label, read),
  }
}

function gaugeOf(registry: Registry, name: string): Gauge {
  return registry.getSingleMetric(`fogmeter_${name}`) as Gauge
}

function totals(
  common: { name: string; help: string; registers: Registry[] },
  label: string,
  read: () => Iterable<[string, number]>,
): Counter {
  const counter: Counter = new Counter({
    ...common,
    labelNames: [label],
    collect: () => {
      counter.reset()
      for (const [value, total] of read()) counter.inc({ [label]: value }, total)
    },
  })
  return counter
}

export interface MetricsOptions {
  /** Null: no listener at all. */
  listen: { host: string; port: number } | null
  registry: Registry
  /** Null when all is well, else one sentence about what is not. */
  health: () => string | null
}

export interface MetricsServer {
  /** The port in use; null without a listener. */
  port: number | null
  close(): Promise<void>
}

/**
 * `GET /metrics` for Prometheus and `GET /healthz` (200 `ok`, or 503 with the reason). No
 * authentication: listen on loopback, or on a network where everyone may read counts.
 * @throws service/metrics-listen when the address cannot be had
 */
export async function startMetrics(options: MetricsOptions): Promise<MetricsServer> {
  const { listen, registry, health } = options
  if (listen === null) return { port: null, close: () => Promise.resolve() }
  const server = createServer({ requestTimeout: 5_000, headersTimeout: 5_000 })
  server.maxConnections = 32
  server.on('request', (request, response) => {
    if (request.method !== 'GET') answer(response, 405, 'only GET\n')
    else if (request.url === '/healthz') answerHealth(response, health())
    else if (request.url === '/metrics') void answerMetrics(response, registry)
    else answer(response, 404, 'only /metrics and /healthz\n')
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

async function answerMetrics(response: ServerResponse, registry: Registry): Promise<void> {
  try {
    answer(response, 200, await registry.metrics(), registry.contentType)
  } catch {
    answer(response, 500, 'a metric could not be read\n')
  }
}
