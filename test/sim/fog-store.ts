import type { OutboxItem } from '#delivery'
import type { DamagedItem, FogStore, MeterRow, Receipts } from '#fog'
import { addChecksum, unflip } from '#bytes'
import { detailTypes } from '#messages'
import { contentOf, itemOf } from '../../libs/fog-store/blob.ts'
import { encodeGroup, readGroup } from '../../libs/fog-store/group.ts'
import { damagedCode, windowOf } from '../../libs/fog-store/outbox.ts'
import type { Chance } from './chance.ts'
import type { Disk } from './disk.ts'

interface GroupRow {
  committedS: number
  blocks: Uint8Array
}

export interface SimFogStore extends FogStore {
  readonly receipts: Receipts
  /** What tells its outbox numbers from those of a store that was lost. */
  readonly id: number
}

const details: readonly number[] = Object.values(detailTypes)
export const isDetail = (type: number | undefined) => details.includes(type ?? -1)
/** The type of an item as it lies in its row: behind the checksum and the head of the array. */
const typeIn = (body: Uint8Array) => body[6] ?? -1
/** Whether the item in this row may make room for others. */
export const detailIn = (body: Uint8Array) => isDetail(typeIn(body))

/** A fog node's memory on a simulated disk, with what `#fog-store` promises about it. */
export function openSimFogStore(disk: Disk, chance: Chance, maxItems: number): SimFogStore {
  const outboxRows = () => disk.rows<{ body: Uint8Array }>('outbox')
  const meta = (name: string, otherwise: number) =>
    disk.get<{ value: number }>('meta', name)?.value ?? otherwise
  /** Acknowledged items are forgotten at once and deleted with the next transaction. */
  let acknowledged = 0
  let damaged: DamagedItem | null = null
  let nextId = Math.max(meta('through', 0), ...[...disk.rows('group').keys()].map(Number)) + 1

  const receipts = openReceipts(disk)

  function append(items: readonly Uint8Array[]): void {
    let next = meta('next', 1)
    for (const body of items) disk.set('outbox', next++, { body: addChecksum(body) })
    if (items.length > 0) disk.set('meta', 'next', { value: next })
    trim()
  }

  function trim(): void {
    let over = held() - maxItems
    for (const [number, { body }] of outboxRows()) {
      if (over <= 0) return
      if (Number(number) <= acknowledged || !detailIn(body)) continue
      disk.delete('outbox', number)
      if (damaged?.number === Number(number)) damaged = null
      over -= 1
      if (typeIn(body) !== detailTypes.summary) continue
      setLostFrom(Math.min(lostFromS() ?? Infinity, windowOf(body)))
    }
  }

  const held = () => outboxRows().size - deadRows()
  const lostFromS = () => disk.get<{ value: number }>('meta', 'lost')?.value ?? null

  function setLostFrom(startS: number | null): void {
    if (startS === null) disk.delete('meta', 'lost')
    else disk.set('meta', 'lost', { value: startS })
  }

  function clean(): void {
    for (const number of outboxRows().keys()) {
      if (Number(number) > acknowledged) break
      disk.delete('outbox', number)
    }
  }

  /** Everything that waits gets numbers from `from` on: older ones have been used for other things. */
  function renumber(from: number): void {
    const bodies = [...waiting()].map(({ body }) => body)
    damaged = null
    disk.transaction(() => {
      for (const number of outboxRows().keys()) disk.delete('outbox', number)
      for (const [index, body] of bodies.entries()) disk.set('outbox', from + index, { body })
      disk.set('meta', 'next', { value: from + bodies.length })
    })
    acknowledged = from - 1
  }

  function deadRows(): number {
    let dead = 0
    for (const number of outboxRows().keys()) {
      if (Number(number) > acknowledged) break
      dead += 1
    }
    return dead
  }

  function waitingDetail(): boolean {
    return [...outboxRows()].some(
      ([number, { body }]) => Number(number) > acknowledged && detailIn(body),
    )
  }

  /** Rows as they lie there. */
  function* waiting(): Generator<{ number: number; body: Uint8Array }> {
    for (const [key, { body }] of outboxRows()) {
      const number = Number(key)
      if (number > acknowledged) yield { number, body }
    }
  }

  return {
    receipts,
    id: storeId(disk, chance),
    load() {
      disk.reading()
      return {
        meters: [...disk.rows<MeterRow>('meter').values()].map((row) => {
          return { ...row, credential: contentOf('a credential', row.credential) }
        }),
        windows: [...disk.rows<{ state: Uint8Array }>('window')].map(([startS, { state }]) => {
          return { startS: Number(startS), state }
        }),
        throughId: meta('through', 0),
      }
    },
    groupsAfter(id, limit) {
      disk.reading()
      return [...disk.rows<GroupRow>('group')]
        .filter(([key]) => Number(key) > id)
        .slice(0, limit)
        .map(([key, { committedS, blocks }]) => {
          return { id: Number(key), committedS, ...readGroup(blocks) }
        })
    },
    commit({ committedS, blocks, meters, items }) {
      const id = blocks.length > 0 ? nextId : nextId - 1
      disk.transaction(() => {
        clean()
        receipts.save()
        for (const row of meters) {
          const before = disk.get<MeterRow>('meter', row.id)
          const credential = addChecksum(row.credential)
          disk.set('meter', row.id, { ...row, credential, state: before?.state ?? null })
        }
        if (blocks.length > 0) disk.set('group', id, { committedS, blocks: encodeGroup(blocks) })
        append(items)
      })
      nextId = id + 1
      return id
    },
    checkpoint({ throughId, meters, windows, items, gaps, lostFromS: nextLost }) {
      disk.transaction(() => {
        clean()
        receipts.save()
        for (const { id, state } of meters) {
          const row = disk.get<MeterRow>('meter', id)
          if (row !== undefined) disk.set('meter', id, { ...row, state })
        }
        for (const startS of windows.removed) disk.delete('window', startS)
        for (const { startS, state } of windows.rows) disk.set('window', startS, { state })
        for (const { key, body } of gaps) disk.set('gap', key, { body: addChecksum(body) })
        disk.set('meta', 'through', { value: throughId })
        if (nextLost !== undefined) setLostFrom(nextLost)
        append(items)
      })
    },
    gaps: () =>
      [...disk.rows<{ body: Uint8Array }>('gap').values()].flatMap(
        ({ body }) => itemOf(body) ?? [],
      ),
    prune(beforeS) {
      return disk.transaction(() => {
        let pruned = 0
        for (const [id, { committedS }] of disk.rows<GroupRow>('group')) {
          if (Number(id) > meta('through', 0) || committedS >= beforeS) break
          disk.delete('group', id)
          pruned += 1
        }
        return pruned
      })
    },
    outbox: {
      oldest: () => waiting().next().value?.number ?? meta('next', 1),
      next: () => meta('next', 1),
      read(from, max) {
        disk.reading()
        damaged = null
        const found: OutboxItem[] = []
        for (const { number, body } of waiting()) {
          if (number < from) continue
          if (found.length >= max) break
          const item = itemOf(body)
          if (item === null) damaged = { number, body: unflip(body) }
          if (item === null) break
          found.push({ first: number, last: number, body: item })
        }
        return found
      },
      dropThrough(number) {
        acknowledged = Math.max(acknowledged, Math.min(number, meta('next', 1) - 1))
      },
      refuse(first, last, code) {
        disk.transaction(() => {
          for (let number = first; number <= last; number++) {
            const row = disk.get<{ body: Uint8Array }>('outbox', number)
            if (row === undefined) continue
            disk.set('refused', number, { ...row, code })
            disk.delete('outbox', number)
          }
        })
      },
      raiseNext(number) {
        const [first] = waiting()
        if (number > (first?.number ?? meta('next', 1))) renumber(number)
      },
    },
    damaged: () => damaged,
    replaceDamaged(number, items) {
      disk.transaction(() => {
        clean()
        receipts.save()
        disk.set('refused', number, { ...disk.get<object>('outbox', number), code: damagedCode })
        disk.delete('outbox', number)
        append(items)
      })
      damaged = null
    },
    backlog: () => {
      const items = held()
      return {
        items,
        oldestS: null,
        full: items >= maxItems && !waitingDetail(),
        room: Math.max(0, maxItems - items),
        lostFromS: lostFromS(),
        givenUp: {},
      }
    },
    sizeBytes: () => 0,
  }
}

function storeId(disk: Disk, chance: Chance): number {
  const known = disk.get<{ value: number }>('meta', 'store')
  if (known !== undefined) return known.value
  const value = chance.int(1, 2 ** 48 - 1)
  disk.set('meta', 'store', { value })
  return value
}

/** Written with the next transaction there is. */
function openReceipts(disk: Disk): Receipts & { save(): void } {
  const known = new Map<string, number>()
  return {
    through: (node) =>
      known.get(node) ?? disk.get<{ value: number }>('meta', `receipts ${node}`)?.value ?? 0,
    note: (node, number) => void known.set(node, number),
    save() {
      for (const [node, value] of known) {
        const before = disk.get<{ value: number }>('meta', `receipts ${node}`)
        if (before?.value !== value) disk.set('meta', `receipts ${node}`, { value })
      }
    },
  }
}
