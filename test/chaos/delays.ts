import type { Cluster } from '../../apps/demo/cluster.ts'
import { percentile } from './options.ts'
import { cloudFog, meterStatus } from './recovery.ts'

/** How long data of some meters takes, ms of the machine's time. */
export interface Delays {
  /** From a reading to its receipt. */
  receipt: { p50: number | null; p99: number | null; readings: number }
  /** How far the newest window at the cloud is behind the newest reading. */
  cloud: { p50: number | null; p99: number | null }
}

const LOOK_MS = 100

/** Looks at the meters of one fog node ten times a second, until `stop` tells what it saw. */
export function watchDelays(cluster: Cluster, fog: string, timeScale: number) {
  const specs = cluster.specs.filter(({ name }) =>
    cluster.meters.some((meter) => meter.name === name && meter.fog === fog),
  )
  const waiting = new Map<string, { number: number; atMs: number }[]>()
  const receiptMs: number[] = []
  const cloudMs: number[] = []
  const stopped = new AbortController()

  async function look(): Promise<void> {
    let newestS = 0
    for (const spec of specs) {
      const status = await meterStatus(spec)
      if (status === null) continue
      const now = performance.now()
      newestS = Math.max(newestS, status.newestTimeS)
      const made = [...(waiting.get(spec.name) ?? []), { number: status.newestNumber, atMs: now }]
      const here = (entry: { number: number }) => entry.number <= status.receiptedThrough
      receiptMs.push(...made.filter(here).map(({ atMs }) => now - atMs))
      waiting.set(
        spec.name,
        made.filter((entry) => !here(entry)),
      )
    }
    const view = await cloudFog(cluster, fog)
    const endS = view?.newestEnd ? Date.parse(view.newestEnd) / 1_000 : null
    if (endS !== null && newestS > 0) cloudMs.push(((newestS - endS) * 1_000) / timeScale)
  }

  const watching = (async () => {
    while (!stopped.signal.aborted) {
      await look()
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS))
    }
  })()
  return {
    async stop(): Promise<Delays> {
      stopped.abort()
      await watching
      // What never came counts as long as it has been waiting.
      const now = performance.now()
      const all = [...receiptMs, ...[...waiting.values()].flat().map(({ atMs }) => now - atMs)]
      return { receipt: { ...percentiles(all), readings: all.length }, cloud: percentiles(cloudMs) }
    },
  }
}

function percentiles(values: readonly number[]) {
  return { p50: rounded(percentile(values, 0.5)), p99: rounded(percentile(values, 0.99)) }
}

function rounded(value: number | null): number | null {
  return value === null ? null : Math.round(value)
}
