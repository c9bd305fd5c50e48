import type { OutboxItem } from '#delivery'
import type { MeterStore } from '#meter'
import type { Disk } from './disk.ts'

interface HeadRow {
  head: Uint8Array
  accounted: number
  next: number
}

interface Block extends OutboxItem {
  thin?: boolean
}

const noHead = { head: null, accounted: 0, next: 1 }

/** A meter's memory on a simulated disk, with what `#meter-store` promises about it. */
export function openSimMeterStore(disk: Disk): MeterStore {
  const headRow = () => disk.get<HeadRow>('head', 0) ?? noHead
  const blocks = () => disk.rows<Block>('block')
  /** Acknowledged through; deleted with the next block that is written anyway. */
  let lagging = 0
  const held = () => [...blocks().values()].filter(({ last }) => last > lagging)
  const whole = () => held().filter(({ thin }) => !thin)
  let count: number | null = null

  return {
    load() {
      disk.reading()
      count = null
      const { head, accounted, next } = headRow()
      const open = [...disk.rows<{ record: Uint8Array }>('open')]
        .filter(([number]) => Number(number) > accounted)
        .map(([, { record }]) => record)
      return { head, open, next }
    },
    append(number, record) {
      disk.transaction(() => disk.set('open', number, { record }))
    },
    seal(block, head) {
      disk.transaction(() => {
        disk.set('block', block.last, block)
        disk.set('head', 0, { head, accounted: block.last, next: block.last + 1 })
        for (const number of disk.rows('open').keys()) disk.delete('open', number)
        for (const last of blocks().keys()) if (Number(last) <= lagging) disk.delete('block', last)
      })
      count = null
    },
    restart(head, next) {
      disk.transaction(() => {
        disk.set('head', 0, { head, accounted: next - 1, next })
        for (const number of disk.rows('open').keys()) disk.delete('open', number)
      })
    },
    transaction: (work) => disk.transaction(work),
    oldest: () => held()[0]?.first ?? null,
    count: () => (count ??= held().length),
    whole: () => whole().length,
    oldestWhole: () => whole()[0] ?? null,
    thin(block) {
      disk.transaction(() => disk.set('block', block.last, { ...block, thin: true }))
    },
    read(from, max) {
      disk.reading()
      return held()
        .filter(({ last }) => last >= from)
        .slice(0, max)
    },
    dropThrough(number) {
      if (number <= lagging) return
      lagging = number
      count = null
    },
    refuse(first, last, code) {
      disk.transaction(() => {
        const block = disk.get<OutboxItem>('block', last)
        if (block === undefined || block.first !== first) return
        disk.set('refused', last, { ...block, code })
        disk.delete('block', last)
      })
      count = null
    },
  }
}
