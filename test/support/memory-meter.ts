import type { OutboxItem } from '#delivery'
import { CodedError } from '#errors'
import type { MeterStore } from '#meter'

export interface Disk {
  head: Uint8Array | null
  open: { number: number; record: Uint8Array }[]
  next: number
  blocks: (OutboxItem & { thin?: true })[]
  refused: OutboxItem[]
}

/** A store in memory with real transactions; `failAfter(n)` makes the n-th write from now throw. */
export function memoryMeter() {
  let disk: Disk = { head: null, open: [], next: 1, blocks: [], refused: [] }
  let depth = 0
  let writesLeft = Infinity
  const write = (change: () => void) => {
    if (--writesLeft < 0) throw new CodedError('sqlite/full', 'the disk is full')
    change()
  }
  const store: MeterStore = {
    load: () => ({ head: disk.head, open: disk.open.map((r) => r.record), next: disk.next }),
    append: (number, record) => write(() => void disk.open.push({ number, record })),
    seal: (block, head) =>
      write(() => {
        disk = { ...disk, head, open: [], next: block.last + 1, blocks: [...disk.blocks, block] }
      }),
    restart: (head, next) => write(() => (disk = { ...disk, head, open: [], next })),
    transaction(work) {
      if (depth > 0) return work()
      const before = structuredClone(disk)
      depth += 1
      try {
        return work()
      } catch (error) {
        disk = before
        throw error
      } finally {
        depth -= 1
      }
    },
    oldest: () => disk.blocks[0]?.first ?? null,
    count: () => disk.blocks.length,
    whole: () => disk.blocks.filter(({ thin }) => !thin).length,
    oldestWhole: () => disk.blocks.find(({ thin }) => !thin) ?? null,
    thin: (block) =>
      write(() => {
        disk.blocks = disk.blocks.map((held) =>
          held.last === block.last ? { ...block, thin: true } : held,
        )
      }),
    read: (from, max) => disk.blocks.filter((block) => block.last >= from).slice(0, max),
    dropThrough: (number) => {
      disk.blocks = disk.blocks.filter((block) => block.last > number)
    },
    refuse: (first, last) => {
      disk.refused.push(...disk.blocks.filter((b) => b.first === first && b.last === last))
      disk.blocks = disk.blocks.filter((b) => b.first !== first || b.last !== last)
    },
  }
  return {
    store,
    disk: () => disk,
    reserveThrough: (number: number) => (disk.next = number + 1),
    failAfter: (writes: number) => (writesLeft = writes),
    repair: () => (writesLeft = Infinity),
    copy: () => structuredClone(disk),
    restore: (copy: Disk) => (disk = structuredClone(copy)),
  }
}
