import { CodedError } from '#errors'
import type { Cluster } from './cluster.ts'
import { scrape, total, type Series } from './scrape.ts'

/** What must be zero at every agent before the cloud can have everything. */
const pending = [
  'fogmeter_agent_windows_open',
  'fogmeter_agent_outbox_items',
  'fogmeter_agent_blocks_in_flight',
]

/** Waits until every meter has been welcomed by its fog node and holds no block it has not receipted. */
export async function waitUntilDelivered(cluster: Cluster, boundMs = 180_000): Promise<void> {
  await waitFor(cluster, 'meter', boundMs, (series) => {
    const connected = total([series], 'fogmeter_meter_connected')
    return connected > 0 && total([series], 'fogmeter_meter_outbox_blocks') === 0
  })
}

/** Waits until no fog node holds anything the cloud has not. */
export async function waitUntilDrained(cluster: Cluster, boundMs = 90_000): Promise<void> {
  await waitFor(cluster, 'agent', boundMs, (series) =>
    pending.every((name) => series.has(name) && total([series], name) === 0),
  )
}

/** Waits until `done` holds for each process of one program, not necessarily at the same moment. */
async function waitFor(
  { specs }: Cluster,
  program: 'meter' | 'agent',
  boundMs: number,
  done: (series: Series) => boolean,
): Promise<void> {
  let waiting = specs.filter((spec) => spec.program === program)
  const end = performance.now() + boundMs
  for (;;) {
    const sources = await Promise.all(waiting.map(({ port }) => scrape(port)))
    waiting = waiting.filter((_, index) => {
      const series = sources[index]
      return !series || !done(series)
    })
    if (waiting.length === 0) return
    if (performance.now() > end) break
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  const names = waiting.map(({ name, log }) => `${name} (log ${log})`).join(', ')
  throw new CodedError('demo/not-drained', `did not hand on everything in time: ${names}`)
}
