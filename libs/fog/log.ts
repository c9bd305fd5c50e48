import { CodedError } from '#errors'
import { decodeBlock, verifyBlock, verifyStatement, type Block } from '#reading'
import { wallS, type Core } from './core.ts'
import type { Meter, Run } from './meter.ts'
import type { BlockGroup, BlockRow } from './store.ts'

/** Groups read at a time. */
export const groupPage = 256

/**
 * As `FogStore.groupsAfter`; of a group with a flipped bit the meters' signatures say whether it is
 * whole again, and without them it counts as damaged.
 */
export function groupsAfter(core: Core, id: number, limit: number): BlockGroup[] {
  return core.store.groupsAfter(id, limit).map((group) => {
    if (!group.mended || group.blocks === null) return group
    const meters = new Map([...core.meters.values()].map((meter) => [meter.id, meter]))
    if (!group.blocks.every((row) => isSigned(core, meters.get(row.meterId), row))) {
      return { ...group, blocks: null }
    }
    const detail = `one bit of group ${group.id} had flipped on the disk; the meters' signatures prove what it was`
    core.events.add('log-mended', null, wallS(core), detail)
    return group
  })
}

function isSigned({ crypto }: Core, meter: Meter | undefined, { body }: BlockRow): boolean {
  if (meter === undefined) return false
  try {
    const key = crypto.verifyKey(meter.credential.publicKey)
    const block = decodeBlock(crypto, body, meter.deviceId)
    // Of readings that were given up only what is signed about them is there.
    if (block.readings.length === 0) return verifyStatement(key, block.statement, block.signature)
    return verifyBlock(crypto, key, block)
  } catch (error) {
    if (error instanceof CodedError) return false
    throw error
  }
}

/** The meter's blocks from the run's first one on, in order; null where the log is gone or damaged. */
export function* blocksFrom(core: Core, meter: Meter, run: Run): Generator<Block | null> {
  let after = run.groupId - 1
  for (;;) {
    const groups = groupsAfter(core, after, groupPage)
    if (after === run.groupId - 1 && groups[0]?.id !== run.groupId) yield null
    for (const { id, blocks } of groups) {
      after = id
      if (blocks === null) yield null
      for (const { meterId, body } of blocks ?? []) {
        if (meterId !== meter.id) continue
        const block = decodeBlock(core.crypto, body, meter.deviceId)
        if (block.statement.last >= run.first) yield block
      }
    }
    if (groups.length < groupPage) return
  }
}
