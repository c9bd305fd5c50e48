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
export async function waitUntilDelivered(cluster: Cluster): Promise<void> {
  const names = ['fogmeter_meter_connected', 'fogmeter_meter_outbox_blocks']
  await waitFor(
    cluster,
    'meter',
    names,
    ([connected, blocks]) => (connected ?? 0) > 0 && blocks === 0,
  )
}

/** Waits until no fog node holds anything the cloud has not. */
export async function waitUntilDrained(cluster: Cluster): Promise<void> {
  await waitFor(cluster, 'agent', pending, (values) => values.every((value) => value === 0))
}

/** A busy machine may take as long as it needs; this long without any change is a standstill. */
const standstillMs = 300_000

/** Waits until `done` holds for each process of one program, not necessarily at the same moment. */
async function waitFor(
  { specs }: Cluster,
  program: 'meter' | 'agent',
  names: readonly string[],
  done: (values: readonly (number | null)[]) => boolean,
): Promise<void> {
  let waiting = specs.filter((spec) => spec.program === program)
  let before = ''
  let changedMs = performance.now()
  while (performance.now() - changedMs < standstillMs) {
    const sources = await Promise.all(waiting.map(({ port }) => scrape(port)))
    const values = sources.map((series) => names.map((name) => valueOf(series, name)))
    waiting = waiting.filter((_, index) => !done(values[index] ?? []))
    if (waiting.length === 0) return
    const now = JSON.stringify(values)
    if (now !== before) [before, changedMs] = [now, performance.now()]
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  const stuck = waiting.map(({ name, log }) => `${name} (log ${log})`).join(', ')
  throw new CodedError('demo/not-drained', `does not hand on what it holds: ${stuck}`)
}

/** Null while the program does not answer, or has no such metric. */
function valueOf(series: Series | null, name: string): number | null {
  return series?.has(name) ? total([series], name) : null
}
