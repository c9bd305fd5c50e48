import type { Cluster } from '../../apps/demo/cluster.ts'
import { fetchJson, type ProcessSpec } from '../../apps/demo/processes.ts'

/** What can die. */
export const kinds = ['meter', 'fog-broker', 'agent', 'cloud-broker', 'cloud'] as const
export type Kind = (typeof kinds)[number]

export function kindOf({ name, program }: ProcessSpec): Kind {
  if (program !== 'broker') return program
  return name === 'cloud-broker' ? name : 'fog-broker'
}

/** The fog node a process belongs to; null for those of the cloud. */
export function fogOf({ fogs, meters }: Cluster, { name }: ProcessSpec): string | null {
  const meter = meters.find((candidate) => candidate.name === name)
  return meter?.fog ?? fogs.find((fog) => name.startsWith(`${fog.name}-`))?.name ?? null
}

/**
 * Resolves when what `spec` stands for works again: a reading made after this call has come back as
 * a receipt to every meter concerned, or, for the cloud's processes, has been added up in the cloud
 * for every fog node. Call it right after the process was killed.
 */
export function recovery(cluster: Cluster, spec: ProcessSpec): () => Promise<void> {
  const fog = fogOf(cluster, spec)
  if (fog === null) return waitForCloud(cluster)
  const mine = cluster.meters.filter((meter) => meter.fog === fog)
  return waitForReceipts(cluster, spec.program === 'meter' ? [spec.name] : mine.map((m) => m.name))
}

function waitForReceipts(cluster: Cluster, names: readonly string[]): () => Promise<void> {
  const waits = cluster.specs
    .filter(({ name }) => names.includes(name))
    .map((spec) => {
      // The newest reading when it was first asked: whatever it says later is about later readings.
      let since: number | null = null
      return async (): Promise<boolean> => {
        const status = await meterStatus(spec)
        if (status === null) return false
        since ??= status.newestNumber
        return status.receiptedThrough > since
      }
    })
  return () => untilAll(waits, names.join(', '))
}

function waitForCloud(cluster: Cluster): () => Promise<void> {
  const before = new Map<string, number>()
  const waits = cluster.fogs.map(({ name }) => async (): Promise<boolean> => {
    const readings = (await cloudFog(cluster, name))?.readings
    if (readings === undefined) return false
    const since = before.get(name) ?? readings
    before.set(name, since)
    return readings > since
  })
  return () => untilAll(waits, 'cloud')
}

/** What the cloud's API says of a fog node; null while it does not answer or knows none. */
export async function cloudFog(
  { httpPort }: Cluster,
  name: string,
): Promise<{ readings: number; newestEnd: string | null } | null> {
  const page = (await fetchJson(httpPort, `/api/v1/fogs?fog=${name}`)) as {
    items: { readings: number; newestEnd: string | null }[]
  } | null
  return page?.items[0] ?? null
}

interface MeterStatus {
  newestNumber: number
  newestTimeS: number
  receiptedThrough: number
}

/** What a meter's program says of its first meter; null while it does not answer. */
export async function meterStatus({ port }: ProcessSpec): Promise<MeterStatus | null> {
  const status = (await fetchJson(port, '/status')) as { meters?: MeterStatus[] } | null
  return status?.meters?.[0] ?? null
}

const POLL_MS = 100
/** The longest back-off is two minutes; what takes longer than two of them has not recovered. */
const BOUND_MS = 300_000

/** Waits for each, not necessarily at the same moment. */
export async function untilAll(
  waits: readonly (() => Promise<boolean>)[],
  what: string,
): Promise<void> {
  let left = [...waits]
  const end = performance.now() + BOUND_MS
  while (performance.now() < end) {
    const done = await Promise.all(left.map((check) => check()))
    left = left.filter((_, index) => done[index] === false)
    if (left.length === 0) return
    await new Promise((resolve) => setTimeout(resolve, POLL_MS))
  }
  throw new Error(`${what}: no receipts within ${BOUND_MS} ms`)
}
