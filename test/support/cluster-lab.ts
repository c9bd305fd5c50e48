/** Real programs of all tiers whose parts a test stops and starts, and the cloud's books while they run. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openCloudQueries, type Queries } from '#cloud-store'
import { nodeCrypto } from '#crypto-node'
import { readJournal } from '#fog-store'
import {
  prepareCluster,
  startCluster,
  startOne,
  stopCluster,
  type ClusterPlan,
} from '../../apps/demo/cluster.ts'
import { endProcess, waitUntilUp, type ProcessSpec } from '../../apps/demo/processes.ts'
import { specOf } from './security.ts'

export type ClusterLab = Awaited<ReturnType<typeof startClusterLab>>

/** Everything of a plan, running, in a temporary folder of its own. */
export async function startClusterLab(plan: Omit<ClusterPlan, 'dir'>) {
  const dir = mkdtempSync(join(tmpdir(), 'fogmeter-cluster-'))
  const cluster = await prepareCluster({ dir, ...plan })
  const accidents: string[] = []
  const onAccident = ({ name }: ProcessSpec, code: number | null) =>
    void accidents.push(`${name} ended by itself (${code})`)
  const close = async (): Promise<void> => {
    await stopCluster(cluster)
    rmSync(dir, { recursive: true, force: true })
  }
  try {
    await startCluster(cluster, onAccident)
  } catch (error) {
    await close()
    throw error
  }

  return {
    dir,
    cluster,
    /** Programs that ended though nobody had asked them to. */
    accidents,
    specOf: (name: string): ProcessSpec => specOf(cluster, name),
    /** Asks the cloud's database, or a copy of it. */
    ask<T>(question: (queries: Queries) => T, path = cluster.cloudStore): T {
      const open = openCloudQueries(path)
      try {
        return question(open.queries)
      } finally {
        open.close()
      }
    },
    stop: async (name: string, signal: 'SIGTERM' | 'SIGKILL' = 'SIGTERM'): Promise<void> => {
      const running = cluster.running.get(name)
      if (running) await endProcess(running, signal)
    },
    start: (name: string): Promise<void> =>
      waitUntilUp(startOne(cluster, specOf(cluster, name), onAccident)),
    close,
  }
}

/** Reading numbers in a fog node's log, by meter. */
export function numbersIn(store: string): Map<string, Set<number>> {
  const found = new Map<string, Set<number>>()
  readJournal(store, nodeCrypto, ({ deviceId, block }) => {
    const numbers = found.get(deviceId) ?? new Set()
    found.set(deviceId, numbers)
    for (const { number } of block.readings) numbers.add(number)
  })
  return found
}
