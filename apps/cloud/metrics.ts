import type { Queries } from '#cloud-store'
import type { Clock } from '#ports'
import type { Metrics } from '#service'
import type { Drain } from './drain.ts'

/**
 * Everything the cloud counts, read at the moment of the scrape. Names follow prometheus.io/naming;
 * no label names a meter, and fog nodes appear only in the API.
 */
export function addMetrics(
  metrics: Metrics,
  { cloud, responder }: Pick<Drain, 'cloud' | 'responder'>,
  queries: Queries,
  clock: Clock,
): void {
  const labelled = (name: string, help: string, label: string, read: () => Counts): void =>
    metrics.totals(`cloud_${name}`, `${help}.`, label, () => Object.entries(read()))
  const single = (name: string, help: string, read: () => number): void =>
    metrics.total(`cloud_${name}`, `${help}.`, read)
  const gauge = (name: string, help: string, read: () => number | null): void =>
    metrics.gauge(`cloud_${name}`, `${help}.`, read)

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

  const status = () => queries.status(Math.floor(clock.now() / 1000))
  gauge('open_fogs', 'Fog nodes with a session', () => cloud.openFogs().length)
  gauge('backlog_items', 'Outbox items known of and not yet here', () => status().backlog)
  gauge('doubled_readings', 'Readings two fog nodes count', () => status().doubled)
  gauge('lag_seconds', 'Now minus the end of the newest window', () => status().lagSeconds)
}

type Counts = Readonly<Record<string, number>>
