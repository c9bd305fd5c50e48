import { readdirSync, readFileSync, statSync } from 'node:fs'
import type { RunningProcess } from '../../../apps/demo/processes.ts'
import { scrape } from '../../../apps/demo/scrape.ts'

/** One look at one program. Bytes, but for descriptors. */
export interface Sample {
  atMs: number
  rss: number
  heap: number
  descriptors: number
  wal: number
  store: number
}

export type Quantity = Exclude<keyof Sample, 'atMs'>

/** Asks the kernel and the program itself; null when either does not answer. */
export async function look(
  { child, spec }: RunningProcess,
  store: string | null,
): Promise<Sample | null> {
  const series = await scrape(spec.port)
  const pid = child.pid
  if (series === null || pid === undefined) return null
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  return {
    atMs: performance.now(),
    rss: Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) * 1_024,
    heap: series.get('nodejs_heap_size_used_bytes') ?? 0,
    descriptors: readdirSync(`/proc/${pid}/fd`).length,
    wal: store === null ? 0 : sizeOf(`${store}-wal`),
    store: store === null ? 0 : sizeOf(store),
  }
}

function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0
}

export function greatest(samples: readonly Sample[], what: Quantity): number {
  return Math.max(0, ...samples.map((sample) => sample[what]))
}

/** Slices of a recording whose lowest point counts: a heap rises until it is collected. */
const slices = 12

/**
 * How fast the floor of a quantity rises, per hour: least squares through the lowest sample of each
 * slice of the time. Null with fewer than three slices.
 */
export function slopePerHour(samples: readonly Sample[], what: Quantity): number | null {
  const size = Math.ceil(samples.length / slices)
  const lowest: Sample[] = []
  for (let at = 0; at < samples.length; at += size) {
    const slice = samples.slice(at, at + size)
    lowest.push(slice.reduce((low, sample) => (sample[what] < low[what] ? sample : low)))
  }
  if (lowest.length < 3) return null
  const hours = lowest.map(({ atMs }) => atMs / 3_600_000)
  const meanX = mean(hours)
  const meanY = mean(lowest.map((sample) => sample[what]))
  let [above, below] = [0, 0]
  for (const [index, sample] of lowest.entries()) {
    const x = (hours[index] ?? 0) - meanX
    above += x * (sample[what] - meanY)
    below += x * x
  }
  return above / below
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length
}
