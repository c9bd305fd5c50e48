import { CodedError } from '#errors'
import type { Chance } from './chance.ts'

export type Key = string | number

/** The machine went off in the middle of something. Nothing of the process may go on after this. */
export class PowerCut extends Error {}

export type DiskState = 'well' | 'full' | 'failing'

/** What a row is when it can rot: bytes. */
export interface Rot {
  table: string
  key: Key
}

/**
 * One device's disk as its database uses it: tables of rows, transactions, and a sync at the end of
 * each. Until the sync a change can be lost, afterwards it cannot.
 */
export interface Disk {
  state: DiskState
  /** The next sync never returns: the power goes before or after the data is safe. */
  cut: 'before' | 'after' | null
  /** A lying disk, for the mutations: syncs return without having done anything. */
  lazy: boolean
  readonly syncs: number
  /** The power is off: until `crash` says that it is back, everything throws. */
  readonly off: boolean
  // oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- rows are what their store put there
  get<T>(table: string, key: Key): T | undefined
  /** Rows in the order they were first written. */
  // oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- as above
  rows<T>(table: string): Map<Key, T>
  set(table: string, key: Key, value: unknown): void
  delete(table: string, key: Key): void
  /** All or nothing; nested calls join the outer one. Throws `sqlite/…` or `PowerCut`. */
  transaction<T>(work: () => T): T
  /** Anything a read may run into. */
  reading(): void
  /** The machine comes back: what was not synced is gone. */
  crash(): void
  /** A copy of everything that is safe, and its return. */
  backup(): Map<string, Map<Key, unknown>>
  restore(backup: Map<string, Map<Key, unknown>>): void
  /** Flips one bit of one row in the named tables, above this number; null when they hold no bytes there. */
  rot(chance: Chance, tables: readonly string[], above?: number): Rot | null
  /** Called with every row that has become safe (undefined: removed). */
  onSafe: (table: string, key: Key, value: unknown) => void
}

interface Undo {
  name: string
  key: Key
  before: unknown
}

export function createDisk(chance: Chance): Disk {
  let tables = new Map<string, Map<Key, unknown>>()
  let undo: Undo[] = []
  let depth = 0
  let off = false

  function tableOf(name: string): Map<Key, unknown> {
    const table = tables.get(name) ?? new Map<Key, unknown>()
    tables.set(name, table)
    return table
  }

  function change(name: string, key: Key, value: unknown): void {
    if (off) throw new PowerCut()
    const table = tableOf(name)
    undo.push({ name, key, before: table.get(key) })
    if (value === undefined) table.delete(key)
    else table.set(key, value)
    if (depth === 0) sync()
  }

  function rollBackTo(mark: number): void {
    for (const { name, key, before } of undo.splice(mark).toReversed()) {
      const table = tableOf(name)
      if (before === undefined) table.delete(key)
      else if (table.has(key)) table.set(key, before)
      else tables.set(name, inOrder(table.set(key, before)))
    }
  }

  function sync(): void {
    if (off) throw new PowerCut()
    if (disk.state !== 'well') fail()
    if (disk.cut === 'before') powerOff()
    if (!disk.lazy) settle()
    if (disk.cut === 'after') powerOff()
  }

  function fail(): void {
    if (disk.state === 'failing' && chance.happens(0.4)) return
    throw disk.state === 'full'
      ? new CodedError('sqlite/full', 'the simulated disk is full')
      : new CodedError('sqlite/io', 'the simulated disk failed')
  }

  function powerOff(): never {
    off = true
    throw new PowerCut()
  }

  function settle(): void {
    const done = undo
    undo = []
    counts.syncs += 1
    for (const { name, key } of done) disk.onSafe(name, key, tableOf(name).get(key))
  }

  const counts = { syncs: 0 }
  const disk: Disk = {
    state: 'well',
    cut: null,
    lazy: false,
    onSafe: () => undefined,
    get syncs() {
      return counts.syncs
    },
    get off() {
      return off
    },
    // oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- as above
    get: <T>(table: string, key: Key) => tableOf(table).get(key) as T | undefined,
    // oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- as above
    rows: <T>(table: string) => tableOf(table) as Map<Key, T>,
    set: change,
    delete: (table, key) => change(table, key, undefined),
    transaction(work) {
      if (off) throw new PowerCut()
      if (depth > 0) return work()
      const mark = undo.length
      depth = 1
      try {
        const result = work()
        depth = 0
        if (undo.length > mark) sync()
        return result
      } catch (error) {
        depth = 0
        if (!(error instanceof PowerCut)) rollBackTo(mark)
        throw error
      }
    },
    reading() {
      if (off) throw new PowerCut()
      if (disk.state === 'failing' && chance.happens(0.2)) {
        throw new CodedError('sqlite/io', 'the simulated disk failed')
      }
    },
    crash() {
      rollBackTo(0)
      off = false
      depth = 0
      disk.cut = null
    },
    backup: () => new Map([...tables].map(([name, table]) => [name, new Map(table)])),
    restore(backup) {
      tables = new Map([...backup].map(([name, table]) => [name, new Map(table)]))
      undo = []
    },
    rot: (random, names, above) => rotIn(tables, random, names, above),
  }
  return disk
}

/** A row that comes back goes to its place: numbered rows are in the order of their numbers. */
function inOrder(table: Map<Key, unknown>): Map<Key, unknown> {
  return new Map([...table].toSorted(([a], [b]) => Number(a) - Number(b)))
}

function rotIn(
  tables: Map<string, Map<Key, unknown>>,
  chance: Chance,
  names: readonly string[],
  above = -Infinity,
): Rot | null {
  const candidates = names.flatMap((table) =>
    [...(tables.get(table) ?? [])]
      .filter(([key]) => !(Number(key) <= above))
      .flatMap(([key, row]) => fieldsOf(row).map((field) => ({ table, key, field }))),
  )
  if (candidates.length === 0) return null
  const { table, key, field } = chance.pick(candidates)
  const row = tables.get(table)!.get(key) as Record<string, Uint8Array>
  const bytes = row[field]!.slice()
  bytes[chance.int(0, bytes.length - 1)]! ^= 1 << chance.int(0, 7)
  tables.get(table)!.set(key, { ...row, [field]: bytes })
  return { table: `${table}.${field}`, key }
}

function fieldsOf(row: unknown): string[] {
  return Object.entries(row as object)
    .filter(([, value]) => value instanceof Uint8Array && value.length > 0)
    .map(([field]) => field)
}
