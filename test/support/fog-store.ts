import type { OutboxItem } from '#delivery'
import type { BlockGroup, FogStore, MeterRow, Receipts } from '#fog'

/** What a `memoryFogStore` holds; survives the core that used it, as a disk survives a process. */
export interface MemoryDisk {
  groups: BlockGroup[]
  gaps: Map<string, Uint8Array>
  meters: Map<number, MeterRow>
  windows: Map<number, Uint8Array>
  throughId: number
  lastId: number
  /** Every item ever put into the outbox, by number. */
  items: Map<number, Uint8Array>
  acknowledged: number
  next: number
  /** How far each cloud node has acknowledged the outbox. */
  receipts: Map<string, number>
}

export function newDisk(): MemoryDisk {
  return {
    groups: [],
    meters: new Map(),
    windows: new Map(),
    throughId: 0,
    lastId: 0,
    items: new Map(),
    acknowledged: 0,
    next: 1,
    receipts: new Map(),
    gaps: new Map(),
  }
}

/** A fog store on a `MemoryDisk`. `failing()` true makes the next transactions throw, changing nothing. */
export function memoryFogStore(disk: MemoryDisk, failing: () => boolean = () => false): FogStore {
  const guard = () => {
    if (failing()) throw new Error('disk full')
  }
  const append = (items: readonly Uint8Array[]) => {
    for (const item of items) disk.items.set(disk.next++, item)
  }
  const waiting = () => [...disk.items.keys()].filter((number) => number > disk.acknowledged)
  return {
    load: () => ({
      meters: [...disk.meters.values()].map((row) => ({ ...row })),
      windows: [...disk.windows].map(([startS, state]) => ({ startS, state })),
      throughId: disk.throughId,
    }),
    groupsAfter: (id, limit) => disk.groups.filter((group) => group.id > id).slice(0, limit),
    commit({ committedS, blocks, meters, items }) {
      guard()
      for (const row of meters) {
        disk.meters.set(row.id, { ...row, state: disk.meters.get(row.id)?.state ?? null })
      }
      if (blocks.length > 0) {
        disk.lastId += 1
        disk.groups.push({ id: disk.lastId, committedS, blocks: [...blocks], mended: false })
      }
      append(items)
      return disk.lastId
    },
    checkpoint({ throughId, meters, windows, items, gaps }) {
      guard()
      for (const { id, state } of meters) {
        const row = disk.meters.get(id)
        if (row === undefined) throw new Error(`no row for meter ${id}`)
        disk.meters.set(id, { ...row, state })
      }
      for (const startS of windows.removed) disk.windows.delete(startS)
      for (const { startS, state } of windows.rows) disk.windows.set(startS, state)
      for (const { key, body } of gaps) disk.gaps.set(key, body)
      disk.throughId = throughId
      append(items)
    },
    gaps: () => [...disk.gaps.values()],
    prune(beforeS) {
      const before = disk.groups.length
      disk.groups = disk.groups.filter(
        ({ id, committedS }) => id > disk.throughId || committedS >= beforeS,
      )
      return before - disk.groups.length
    },
    outbox: {
      oldest: () => waiting()[0] ?? disk.next,
      next: () => disk.next,
      read: (from, max) =>
        waiting()
          .filter((number) => number >= from)
          .slice(0, max)
          .map((number): OutboxItem => {
            return { first: number, last: number, body: disk.items.get(number) ?? new Uint8Array() }
          }),
      dropThrough: (number) => {
        disk.acknowledged = Math.max(disk.acknowledged, number)
      },
      refuse: () => undefined,
      raiseNext: (number) => {
        disk.next = Math.max(disk.next, number)
      },
    },
    damaged: () => null,
    replaceDamaged: () => undefined,
    backlog: () => ({
      items: waiting().length,
      oldestS: null,
      full: false,
      room: Infinity,
      lostFromS: null,
      givenUp: {},
    }),
    sizeBytes: () => 0,
  }
}

export function memoryReceipts({ receipts }: MemoryDisk): Receipts {
  return {
    through: (node) => receipts.get(node) ?? 0,
    note: (node, number) => void receipts.set(node, number),
  }
}
