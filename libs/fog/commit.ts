import { encodeItem } from '#messages'
import { equal } from '#bytes'
import { saveCheckpoint } from './checkpoint.ts'
import { reply, wallS, type Core } from './core.ts'
import { applyBlock } from './ledger.ts'
import { forwardStatement } from './registers.ts'
import type { Meter, PendingBlock } from './meter.ts'
import type { BlockRow, Commit } from './store.ts'

/** True when the waiting blocks are many enough, or have waited long enough. */
export function commitDue(core: Core): boolean {
  const { bytes, maxBlocks, maxWaitMs } = core.settings.commit
  if (core.ready.length === 0) return core.events.size > 0
  const waitedMs = core.clock.monotonic() - core.readySinceMs
  return core.readyBytes >= bytes || core.ready.length >= maxBlocks || waitedMs >= maxWaitMs
}

/**
 * One transaction for all that is ready; then, and only then, their receipts are due. Throws what
 * the store throws, with nothing changed: the blocks stay ready and the next call tries again.
 */
export function commitGroup(core: Core): void {
  const group = selectGroup(core)
  if (group.length > 0 || core.events.size > 0) {
    const plan = planCommit(core, group)
    const id = timed(core, () => core.store.commit(plan.commit))
    settle(core, group, plan, id)
  }
}

/** At most one credential per meter and group: a change gets a group of its own. */
function selectGroup(core: Core): PendingBlock[] {
  const group: PendingBlock[] = []
  const credentials = new Map<Meter, Uint8Array>()
  for (const entry of core.ready) {
    if (group.length >= core.settings.commit.maxBlocks) break
    const before = credentials.get(entry.meter)
    if (before !== undefined && before !== entry.credential.encoded) break
    credentials.set(entry.meter, entry.credential.encoded)
    group.push(entry)
  }
  return group
}

interface Plan {
  commit: Commit
  /** Meters whose row is written: their ids and credentials as they will be. */
  rows: Map<Meter, { id: number; credential: Uint8Array }>
}

function planCommit(core: Core, group: readonly PendingBlock[]): Plan {
  const rows: Plan['rows'] = new Map()
  const blocks: BlockRow[] = []
  let nextId = core.nextMeterId
  for (const { meter, body, credential } of group) {
    const stored = meter.storedCredential
    if (!rows.has(meter) && (stored === null || !equal(stored, credential.encoded))) {
      rows.set(meter, { id: meter.id ?? nextId++, credential: credential.encoded })
    }
    const meterId = meter.id ?? rows.get(meter)?.id
    if (meterId === undefined || body === null) throw new Error('a ready block without id or body')
    blocks.push({ meterId, body })
  }
  closeOldCredentials(core, rows)
  const meters = [...rows].map(([meter, row]) => ({ ...row, deviceId: meter.deviceId }))
  const items = core.events.list().map((event) => encodeItem({ type: 'event', event }))
  return { commit: { committedS: wallS(core), blocks, meters, items }, rows }
}

/** What a meter signed under its old credential goes out before the new credential takes over. */
function closeOldCredentials(core: Core, rows: Plan['rows']): void {
  const changed = [...rows.keys()].filter((meter) => meter.storedCredential !== null)
  if (changed.length === 0) return
  for (const meter of changed)
    core.unsavedItems.push(...forwardStatement(meter, Infinity, Infinity))
  saveCheckpoint(core)
}

function timed<T>(core: Core, work: () => T): T {
  const started = core.clock.monotonic()
  try {
    return work()
  } catch (error) {
    core.counters.commitFailures += 1
    throw error
  } finally {
    core.counters.lastCommitMs = core.clock.monotonic() - started
    core.counters.commitMs += core.counters.lastCommitMs
  }
}

function settle(core: Core, group: readonly PendingBlock[], plan: Plan, id: number): void {
  core.counters.commits += 1
  core.counters.events += plan.commit.items.length
  core.events.clear()
  core.lastGroupId = id
  for (const [meter, row] of plan.rows) {
    if (meter.id === null) core.nextMeterId = Math.max(core.nextMeterId, row.id + 1)
    meter.id = row.id
    meter.storedCredential = row.credential
    meter.credentialSent = false
    meter.dirty = true
  }
  for (const entry of group) {
    entry.meter.pending.shift()
    applyBlock(core, entry.meter, entry.block, plan.commit.committedS)
    core.receiptsDue.add(entry.meter)
  }
  core.inFlight -= group.length
  core.ready = core.ready.slice(group.length)
  core.readyBytes = core.ready.reduce((sum, { body }) => sum + (body?.length ?? 0), 0)
  core.readySinceMs = core.clock.monotonic()
}

/**
 * Receipts are cumulative, and making one costs as much as opening a record: a meter that sends
 * many blocks a second gets one for several of them. `all` leaves none for later.
 */
export function sendReceipts(core: Core, all: boolean): void {
  const now = core.clock.monotonic()
  for (const meter of core.receiptsDue) {
    if (!all && now - meter.receiptedMs < core.settings.receiptMs) continue
    core.receiptsDue.delete(meter)
    meter.receiptedMs = now
    reply(core, meter, { type: 'receipt', durable: meter.durable.number })
  }
}
