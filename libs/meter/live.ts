import { encodeLive, type Reading } from '#reading'
import { encodeUp } from '#messages'
import type { SendItem } from '#delivery'
import type { Sealed } from './journal.ts'

/**
 * What this session has said about readings that are not signed yet. The fog can only use a bare
 * block signature if it received every reading of the block, in order, in this session.
 */
export interface Live {
  /** True once the fog follows; false while signed blocks are still being caught up. */
  readonly running: boolean
  readonly messages: number
  /** Begins (again) with the readings of the open block, all of which come after what was sent. */
  start(open: readonly Reading[], next: number): Uint8Array[]
  /** One new reading; nothing unless running. */
  add(reading: Reading): Uint8Array[]
  /** A block was signed; remembers whether its signature alone will do. */
  sealed(block: Sealed): void
  /** The payload for an item: its signature alone if possible, else the whole report. */
  frame(item: SendItem): Uint8Array
  /** The fog may have missed something: signed blocks go out whole until `start`. */
  stop(): void
}

export function createLive(): Live {
  let firstLive: number | null = null
  let previous: Reading | null = null
  let messages = 0
  const bySignature = new Map<number, Sealed>()

  function stop(): void {
    firstLive = null
    previous = null
    bySignature.clear()
  }

  function add(reading: Reading): Uint8Array[] {
    if (firstLive === null) return []
    const payload =
      previous === null
        ? encodeUp({ type: 'reading', reading })
        : encodeUp({ type: 'live', values: encodeLive(previous, reading) })
    previous = reading
    messages += 1
    return [payload]
  }

  return {
    get running() {
      return firstLive !== null
    },
    get messages() {
      return messages
    },
    start(open, next) {
      stop()
      firstLive = open[0]?.number ?? next
      return open.flatMap(add)
    },
    add,
    sealed(block) {
      if (firstLive !== null && firstLive <= block.firstReading) bySignature.set(block.last, block)
    },
    frame(item) {
      const block = bySignature.get(item.last)
      bySignature.delete(item.last)
      if (block === undefined || item.again) return encodeUp({ type: 'report', body: item.body })
      const { first, last, skipped, signature, anchor } = block
      const rest = anchor === null ? {} : { anchor }
      return encodeUp({ type: 'block', first, last, skipped, signature, ...rest })
    },
    stop,
  }
}
