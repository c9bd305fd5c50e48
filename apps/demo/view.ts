import { coloursFor } from '../cli/colours.ts'
import type { Cluster } from './cluster.ts'
import { byLabel, scrape, total, type Series } from './scrape.ts'
import { fetchJson } from './processes.ts'

const REFRESH_MS = 1_000
const colors = coloursFor(process.stderr)

/** Shows each tier's counters every second: redrawn in place on a terminal, else a line now and then. */
export function startView(cluster: Cluster, { live }: { live: boolean }): { stop(): void } {
  const out = process.stderr
  out.write(`${hints(cluster).join('\n')}\n\n`)
  let stopped = false
  let drawn = 0
  let seconds = 0

  async function refresh(): Promise<void> {
    const lines = await tiers(cluster)
    if (stopped) return
    seconds += 1
    if (live) {
      out.write(drawn > 0 ? `\u001B[${drawn}A\u001B[J` : '')
      drawn = lines.length
      out.write(`${lines.join('\n')}\n`)
    } else if (seconds % 10 === 0) {
      out.write(`${lines.join('\n')}\n`)
    }
    timer = setTimeout(tick, REFRESH_MS)
  }
  const tick = () => void refresh()
  let timer = setTimeout(tick, REFRESH_MS)
  return {
    stop() {
      stopped = true
      clearTimeout(timer)
    },
  }
}

function hints({ httpPort, plan, fogs, meters }: Cluster): string[] {
  const url = `http://127.0.0.1:${httpPort}`
  const option = httpPort === 8080 ? '' : ` --url ${url}`
  return [
    '',
    colors.bold(`Fogmeter: ${meters.length} meters, ${fogs.length} fog nodes, one cloud`),
    `  files and logs   ${plan.dir}`,
    `  open             ${url}/summary`,
    `  and type         npx fogmeter status${option}`,
    `                   npx fogmeter summary watch${option}`,
    `                   npx fogmeter meter list${option}`,
    '  stop             Ctrl-C',
  ]
}

/** The lines of the picture, from the meters up to the cloud. */
async function tiers(cluster: Cluster): Promise<string[]> {
  const of = async (program: string) =>
    Promise.all(
      cluster.specs.filter((spec) => spec.program === program).map(({ port }) => scrape(port)),
    )
  const [meters, agents, brokers, cloud] = await Promise.all([
    of('meter'),
    of('agent'),
    of('broker'),
    fetchJson(cluster.httpPort, '/api/v1/status') as Promise<Record<string, unknown> | null>,
  ])
  return [
    row('meters', [
      [items(meters, 'reading'), 'readings sealed'],
      [items(meters, 'block'), 'blocks signed'],
      [total(meters, 'fogmeter_meter_outbox_blocks'), 'waiting for a receipt'],
    ]),
    row('brokers', [
      [total(brokers, 'fogmeter_broker_connections'), 'connections'],
      ...refusals(brokers, 'fogmeter_broker_refused_total'),
    ]),
    row('fog nodes', [
      [total(agents, 'fogmeter_agent_readings_total'), 'verified and stored'],
      [total(agents, 'fogmeter_agent_windows_closed_total'), 'windows closed'],
      [total(agents, 'fogmeter_agent_outbox_items'), 'waiting for the cloud'],
      ...refusals(agents, 'fogmeter_agent_refused_total'),
    ]),
    row('cloud', [
      [cloud?.['summaries'] ?? 0, 'summaries stored'],
      [cloud?.['readings'] ?? 0, 'readings in them'],
      [cloud?.['registers'] ?? 0, 'signed registers'],
      [cloud?.['refused'] ?? 0, 'refused'],
    ]),
    row('lag', [
      [
        Math.round(total(agents, 'fogmeter_agent_outbox_oldest_seconds')),
        's oldest item on its way',
      ],
    ]),
  ]
}

function items(sources: readonly (Series | null)[], kind: string): number {
  return byLabel(sources, 'fogmeter_meter_items_total').get(kind) ?? 0
}

function refusals(sources: readonly (Series | null)[], name: string): [number, string][] {
  const reasons = byLabel(sources, name)
  if (reasons.size === 0) return [[0, 'refused']]
  return [...reasons].map(([reason, times]) => [times, `refused: ${reason}`])
}

function row(tier: string, cells: readonly (readonly [unknown, string])[]): string {
  const shown = cells.map(([value, what]) => `${colors.green(String(value))} ${what}`)
  return `  ${colors.bold(tier.padEnd(10))} ${shown.join('  ')}`
}
