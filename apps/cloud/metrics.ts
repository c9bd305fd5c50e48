import { Counter, Gauge } from 'prom-client'
import type { Registry } from 'prom-client'
import type { Queries } from '#cloud-store'
import type { Clock } from '#ports'
import type { Drain } from './drain.ts'

/**
 * Everything the cloud counts, read at the moment of the scrape. Names follow prometheus.io/naming;
 * no label names a meter, and fog nodes appear only in the API.
 */
export function addMetrics(
  registry: Registry,
  { cloud, responder }: Pick<Drain, 'cloud' | 'responder'>,
  queries: Queries,
  clock: Clock,
): void {
  const labelled = (name: string, help: string, label: string, read: () => Counts): void =>
    addCounter(registry, name, help, label, read)
  const single = (name: string, help: string, read: () => number): void =>
    addCounter(registry, name, help, null, () => ({ '': read() }))

  const c = () => cloud.counters()
  labelled('messages_total', 'Messages from fog nodes', 'type', () => c().messages)
  labelled('items_total', 'Outbox items dealt with', 'type', () => c().items)
  labelled('refused_items_total', 'Outbox items refused', 'reason', () => c().refused)
  single('commits_total', 'Transactions on disk', () => c().commits)
  single('commit_failures_total', 'Transactions that failed', () => c().commitFailures)
  single('resends_total', 'Times missing items were asked for', () => c().resends)

  const r = () => responder.counters()
  single('handshakes_total', 'Handshakes completed', () => r().handshakes)
  single('records_opened_total', 'Records opened', () => r().opened)
  labelled('records_refused_total', 'Records refused', 'reason', () => r().refused)
  labelled('handshakes_refused_total', 'Refused handshakes', 'reason', () => r().handshakesRefused)

  addGauges(registry, cloud, queries, clock)
}

type Counts = Readonly<Record<string, number>>

function addCounter(
  registry: Registry,
  name: string,
  help: string,
  label: string | null,
  read: () => Counts,
): void {
  const counter = new Counter({
    name: `fogmeter_cloud_${name}`,
    help: `${help}.`,
    labelNames: label === null ? [] : [label],
    registers: [],
    collect() {
      this.reset()
      for (const [value, count] of Object.entries(read())) {
        if (label === null) this.inc(count)
        else this.inc({ [label]: value }, count)
      }
    },
  })
  registry.registerMetric(counter)
}

function addGauges(
  registry: Registry,
  cloud: Drain['cloud'],
  queries: Queries,
  clock: Clock,
): void {
  const add = (name: string, help: string, read: () => number | null): void => {
    const gauge = new Gauge({
      name: `fogmeter_cloud_${name}`,
      help: `${help}.`,
      registers: [],
      collect() {
        const value = read()
        if (value === null) this.remove()
        else this.set(value)
      },
    })
    registry.registerMetric(gauge)
  }
  const status = () => queries.status(Math.floor(clock.now() / 1000))
  add('open_fogs', 'Fog nodes with a session', () => cloud.openFogs().length)
  add('backlog_items', 'Outbox items known of and not yet here', () => status().backlog)
  add('lag_seconds', 'Now minus the end of the newest window', () => status().lagSeconds)
}
