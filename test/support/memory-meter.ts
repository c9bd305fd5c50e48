import type { OutboxItem } from '#delivery'
import type { MeterStore } from '#meter'

/** A meter's store that never fails and outlives the meter, as a disk does a process. */
export function memoryMeterStore(): MeterStore {
  let head: Uint8Array | null = null
  let open: Uint8Array[] = []
  let next = 1
  let blocks: OutboxItem[] = []
  return {
    load: () => ({ head, open: [...open], next }),
    append(number, record) {
      open.push(record)
      next = number + 1
    },
    seal(block, newHead) {
      blocks.push(block)
      open = []
      head = newHead
    },
    restart(newHead, from) {
      head = newHead
      open = []
      next = from
    },
    transaction: (work) => work(),
    oldest: () => blocks[0]?.first ?? null,
    count: () => blocks.length,
    read: (from, max) => blocks.filter(({ last }) => last >= from).slice(0, max),
    dropThrough(number) {
      blocks = blocks.filter(({ last }) => last > number)
    },
    refuse(first, last) {
      blocks = blocks.filter((block) => block.first !== first || block.last !== last)
    },
  }
}
