import { decodeBlock, type Block } from '#reading'
import type { Core } from './core.ts'
import type { Meter, Run } from './meter.ts'

/** Groups read at a time. */
const page = 256

/** The meter's blocks from the run's first one on, in order; null first when that one is gone. */
export function* blocksFrom(core: Core, meter: Meter, run: Run): Generator<Block | null> {
  let after = run.groupId - 1
  for (;;) {
    const groups = core.store.groupsAfter(after, page)
    if (after === run.groupId - 1 && groups[0]?.id !== run.groupId) yield null
    for (const { id, blocks } of groups) {
      after = id
      for (const { meterId, body } of blocks) {
        if (meterId !== meter.id) continue
        const block = decodeBlock(core.crypto, body, meter.deviceId)
        if (block.statement.last >= run.first) yield block
      }
    }
    if (groups.length < page) return
  }
}
