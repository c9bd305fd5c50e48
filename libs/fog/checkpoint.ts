import { encodeItem } from '#messages'
import { decodeBlock } from '#reading'
import { CodedError } from '#errors'
import { type Core } from './core.ts'
import { applyBlock } from './ledger.ts'
import { readingsIn } from './dating.ts'
import { groupPage, groupsAfter } from './log.ts'
import type { Meter } from './meter.ts'
import { restoreMeter, snapshotMeter } from './snapshot.ts'
import type { BlockRow } from './store.ts'

/**
 * Writes down everything a restart would otherwise have to compute, together with the items that
 * came out of it. Throws what the store throws; the next attempt then carries the same items.
 */
export function saveCheckpoint(core: Core): void {
  const nowMs = core.clock.monotonic()
  const dirty = [...core.meters.values()].filter(({ dirty: changed, id }) => changed && id !== null)
  const gaps = [...core.gaps].map(([key, gap]) => {
    return { key, body: encodeItem({ type: 'gap', gap }) }
  })
  const derived = core.derived.list().map((event) => encodeItem({ type: 'event', event }))
  core.store.checkpoint({
    throughId: core.lastGroupId,
    meters: dirty.map((meter) => ({ id: meter.id ?? 0, state: snapshotMeter(meter, nowMs) })),
    windows: core.windows.changes(),
    items: [...core.unsavedItems, ...gaps.map(({ body }) => body), ...derived],
    gaps,
    lostFromS: core.unsavedLostFromS,
  })
  for (const meter of dirty) meter.dirty = false
  core.windows.saved()
  core.unsavedItems = []
  core.unsavedLostFromS = undefined
  core.counters.events += derived.length
  core.derived.clear()
  core.gaps.clear()
  core.counters.checkpoints += 1
  core.lastCheckpointMs = nowMs
}

/** Brings an empty core to where the store is: the last checkpoint, then every block after it. */
export function restore(core: Core): void {
  const { meters, windows, throughId } = core.store.load()
  const byId = new Map<number, Meter>()
  for (const row of meters) {
    const meter = restoreMeter(core.crypto, row, core.clock.monotonic())
    core.waitingReadings += readingsIn(meter.waiting)
    byId.set(row.id, meter)
    core.meters.set(row.deviceId, meter)
    core.nextMeterId = Math.max(core.nextMeterId, row.id + 1)
  }
  core.windows.restore(windows, core.clock.monotonic())
  core.lastGroupId = throughId
  for (;;) {
    const groups = groupsAfter(core, core.lastGroupId, groupPage)
    for (const { id, committedS, blocks } of groups) {
      if (blocks === null) throw damaged(`a damaged group of blocks, ${id}`)
      core.lastGroupId = id
      for (const row of blocks) replay(core, byId, row, committedS)
    }
    if (groups.length < groupPage) break
  }
  for (const meter of byId.values()) meter.tip = meter.durable
}

function replay(core: Core, byId: Map<number, Meter>, row: BlockRow, committedS: number): void {
  const meter = byId.get(row.meterId)
  if (meter === undefined) throw damaged(`a block of an unknown meter ${row.meterId}`)
  let block
  try {
    block = decodeBlock(core.crypto, row.body, meter.deviceId)
  } catch (error) {
    throw damaged(`a block of ${meter.deviceId} cannot be read`, error)
  }
  applyBlock(core, meter, block, committedS)
}

function damaged(what: string, cause?: unknown): CodedError {
  return new CodedError('fog/store-damaged', `the store holds ${what}: restore a backup`, { cause })
}
