import { rmSync } from 'node:fs'
import type { Accounting } from '#cloud-store'
import { account, type Account } from '../../apps/demo/account.ts'
import { startCluster, stopCluster, stopTier, type Cluster } from '../../apps/demo/cluster.ts'
import { waitUntilDelivered, waitUntilDrained } from '../../apps/demo/drain.ts'
import type { ProcessSpec } from '../../apps/demo/processes.ts'
import { groundTruth } from '../support/ground-truth.ts'

export type OnAccident = (spec: ProcessSpec, code: number | null) => void

export interface Campaign<T, R extends Account> {
  /** What is done to the running cluster; a process that ends unasked goes to `onAccident`. */
  play: (onAccident: OnAccident) => Promise<T>
  /** What has to happen once everything is delivered, before the books are closed. */
  settle?: () => Promise<void>
  /** Closes the books, when nothing runs any more. */
  judge: () => R | Promise<R>
  /** Ends what stands between the programs. */
  close?: () => Promise<void>
}

/** Starts a prepared cluster, plays, lets everything drain, and accounts for it; leaves nothing behind. */
export async function runCampaign<T, R extends Account>(
  cluster: Cluster,
  { play, settle, judge, close }: Campaign<T, R>,
): Promise<{ played: T; result: R }> {
  const accidents: string[] = []
  const onAccident: OnAccident = ({ name, log }, code) =>
    void accidents.push(`${name} ended by itself (exit code ${code}, log ${log})`)
  try {
    await startCluster(cluster, onAccident)
    const played = await play(onAccident)
    // Back-off after the last disturbance may outlast a meter's patience when it is told to stop.
    await waitUntilDelivered(cluster)
    await stopTier(cluster, 'meter', 60_000)
    await waitUntilDrained(cluster)
    await settle?.()
    await stopCluster(cluster)
    const result = await judge()
    result.problems.push(...accidents)
    return { played, result }
  } finally {
    await stopCluster(cluster)
    await close?.()
    rmSync(cluster.plan.dir, { recursive: true, force: true })
  }
}

/** The account of a cluster that replayed households, with what these say themselves. */
export async function accountWithTruth(cluster: Cluster, books?: Accounting): Promise<Account> {
  const result = account(cluster, books)
  result.problems.push(...(await groundTruth(cluster)))
  return result
}
