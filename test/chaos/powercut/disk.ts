import type { Op } from './trace.ts'

/**
 * A disk that keeps only what it was asked to keep. What was written to a file since its last sync
 * may be there after a power cut, or not, or in part, in any combination; so may the name of a file
 * whose folder was not synced since.
 */
export interface Disk {
  apply(op: Op): void
  /** Files as a power cut at this moment may leave them. */
  cut(how: CutKind, random: () => number): Map<string, Uint8Array>
}

/**
 * drop: nothing that was not synced survived. all: everything did. prefix: the disk got so far in
 * the order of writing. torn: any of the sectors, in any combination.
 */
export const cutKinds = ['drop', 'prefix', 'torn', 'all'] as const
export type CutKind = (typeof cutKinds)[number]

type Change =
  { type: 'write'; offset: number; data: Uint8Array } | { type: 'truncate'; size: number }

interface File {
  /** On the disk for certain, and since when the name is. */
  durable: Uint8Array
  named: boolean
  pending: Change[]
}

const sectors = [512, 4_096] as const

export function createDisk(): Disk {
  const files = new Map<string, File>()
  return {
    apply(op) {
      if (op.type === 'mark') return
      if (op.type === 'sync') return sync(files, op.path)
      if (op.type === 'remove') return void files.delete(op.path)
      const file = files.get(op.path) ?? { durable: new Uint8Array(), named: false, pending: [] }
      files.set(op.path, file)
      if (op.type !== 'create') file.pending.push(op)
    },
    cut(how, random) {
      const left = new Map<string, Uint8Array>()
      const sector = sectors[Math.floor(random() * sectors.length)] ?? 512
      for (const [path, file] of files) {
        if (!file.named && !keepsName(how, random)) continue
        left.set(path, survive(file, how, sector, random))
      }
      return left
    },
  }
}

function sync(files: Map<string, File>, path: string): void {
  const file = files.get(path)
  if (file !== undefined) {
    file.durable = file.pending.reduce(change, file.durable)
    file.pending = []
    return
  }
  for (const [name, entry] of files) {
    if (name.slice(0, name.lastIndexOf('/')) === path) entry.named = true
  }
}

function keepsName(how: CutKind, random: () => number): boolean {
  return how === 'all' || (how !== 'drop' && random() < 0.5)
}

function survive({ durable, pending }: File, how: CutKind, sector: number, random: () => number) {
  switch (how) {
    case 'drop':
      return durable
    case 'all':
      return pending.reduce(change, durable)
    case 'prefix':
      return pending.slice(0, Math.floor(random() * (pending.length + 1))).reduce(change, durable)
    default: {
      const share = random()
      return pending
        .flatMap((one) => (one.type === 'write' ? split(one, sector) : [one]))
        .filter(() => random() < share)
        .reduce(change, durable)
    }
  }
}

/** A write in pieces that a disk writes whole. */
function split({ offset, data }: Change & { type: 'write' }, sector: number): Change[] {
  const pieces: Change[] = []
  for (let at = 0; at < data.length;) {
    const end = Math.min(data.length, at + sector - ((offset + at) % sector))
    pieces.push({ type: 'write', offset: offset + at, data: data.subarray(at, end) })
    at = end
  }
  return pieces
}

/** Into a new array: `content` may be what another state starts from. Holes read as zeros. */
function change(content: Uint8Array, one: Change): Uint8Array {
  const size =
    one.type === 'truncate' ? one.size : Math.max(content.length, one.offset + one.data.length)
  const next = new Uint8Array(size)
  next.set(content.subarray(0, size))
  if (one.type === 'write') next.set(one.data, one.offset)
  return next
}
