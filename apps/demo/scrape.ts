/** Values of one program's /metrics, by series as written, e.g. `fogmeter_x_total{reason="stale"}`. */
export type Series = ReadonlyMap<string, number>

/** Reads a program's metrics; null while it does not answer. */
export async function scrape(port: number): Promise<Series | null> {
  try {
    const response = await fetch(`http://127.0.0.1:${port}/metrics`, {
      signal: AbortSignal.timeout(10_000),
    })
    return response.ok ? parse(await response.text()) : null
  } catch {
    return null
  }
}

/** The Prometheus text format, as far as a counter or gauge line goes. */
function parse(text: string): Series {
  const series = new Map<string, number>()
  for (const line of text.split('\n')) {
    const space = line.lastIndexOf(' ')
    if (line.startsWith('#') || space <= 0) continue
    series.set(line.slice(0, space), Number(line.slice(space + 1)))
  }
  return series
}

/** The sum of a metric over all programs and labels. */
export function total(sources: readonly (Series | null)[], name: string): number {
  let sum = 0
  for (const series of sources) {
    for (const [key, value] of series ?? []) {
      if (key === name || key.startsWith(`${name}{`)) sum += value
    }
  }
  return sum
}

/** A metric's values by one label, summed over all programs. */
export function byLabel(sources: readonly (Series | null)[], name: string): Map<string, number> {
  const sums = new Map<string, number>()
  for (const series of sources) {
    for (const [key, value] of series ?? []) {
      const label = key.startsWith(`${name}{`) ? /="([^"]*)"/.exec(key)?.[1] : undefined
      if (label !== undefined && value > 0) sums.set(label, (sums.get(label) ?? 0) + value)
    }
  }
  return sums
}
