import { CodedError } from '#errors'
import type { Cluster } from './cluster.ts'
import { scrape, total, type Series } from './scrape.ts'

/** What must be zero at every agent before the cloud can have everything. */
const pending = [
  'fogmeter_agent_windows_open',
  'fogmeter_agent_outbox_items',
  'fogmeter_agent_blocks_in_flight',
]

/** Waits until no fog node holds anything the cloud has not; throws after `boundMs`. */
export async function waitUntilDrained(cluster: Cluster, boundMs = 90_000): Promise<void> {
  const agents = cluster.specs.filter(({ program }) => program === 'agent')
  const end = performance.now() + boundMs
  let held = 'nothing answered'
  while (performance.now() < end) {
    const sources = await Promise.all(agents.map(({ port }) => scrape(port)))
    if (sources.every((series) => series !== null)) {
      held = pending.map((name) => `${name} ${total(sources, name)}`).join(', ')
      if (sources.every(drained)) return
    }
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  throw new CodedError('demo/not-drained', `the fog nodes did not drain in time: ${held}`)
}

function drained(series: Series): boolean {
  return pending.every((name) => series.has(name) && total([series], name) === 0)
}
