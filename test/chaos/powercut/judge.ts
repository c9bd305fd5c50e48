import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import BetterSqlite3 from 'better-sqlite3'
import { openCloudStore } from '#cloud-store'
import { nativeCrypto } from '#crypto-native'
import { createFog, fogDefaults, inlineVerifier } from '#fog'
import { openFogStore, readJournal } from '#fog-store'
import { decodeBlock } from '#reading'
import { openMeterStore } from '#meter-store'
import { systemClock, version } from '#service'
import type { Recording, Session } from './record.ts'

/** What a program had told others by a moment, from its marks. */
export interface Told {
  /** By device: durable up to here, as receipts said. */
  receipts: Map<string, number>
  /** Highest outbox number of an agent that was sent. */
  sent: number
  /** Highest number the far end had receipted. */
  dropped: number
  /** Newest reading of a meter when anything left it, and the newest one under a signature then. */
  left: number
  sealed: number
}

export function newTold(): Told {
  return { receipts: new Map(), sent: 0, dropped: 0, left: 0, sealed: 0 }
}

export function tell(told: Told, [what, first = '', second]: readonly string[]): void {
  if (what === 'receipt') {
    told.receipts.set(first, Math.max(Number(second), told.receipts.get(first) ?? 0))
  } else if (what === 'sent' || what === 'dropped') {
    told[what] = Math.max(told[what], Number(first))
  } else if (what === 'left') {
    told.left = Math.max(told.left, Number(first))
    told.sealed = Math.max(told.sealed, Number(second))
  } else throw new Error(`a mark nobody knows: ${what}`)
}

/** Opens a state with the program's own code; every broken promise in words. */
export type Judge = (path: string, told: Told) => string[]

/** Reading numbers and their content, by meter, from the fog node's own files at the end. */
type Readings = Map<string, Map<number, string>>

export function judgeFor(recording: Recording, session: Session): Judge {
  const { program, store } = recording
  if (program === 'agent') {
    const truth = readingsIn(store)
    return (path, told) => judgeAgent(path, told, truth)
  }
  if (program === 'cloud') {
    const truth = itemsIn(store)
    return (path, told) => judgeCloud(path, told, truth)
  }
  const name = basename(store, '.db')
  const truth = readingsIn(session.cluster.fogs[0]?.store ?? '').get(name) ?? new Map()
  return (path, told) => judgeMeter(path, told, { name, truth })
}

/** Writes the files of one state and has them judged; what cannot be opened is broken too. */
export function judgeState(
  files: ReadonlyMap<string, Uint8Array>,
  { store }: Recording,
  folder: string,
  work: (path: string) => string[],
): string[] {
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  for (const [path, content] of files) {
    if (dirname(path) === dirname(store)) writeFileSync(join(folder, basename(path)), content)
  }
  const path = join(folder, basename(store))
  try {
    return [...damageIn(path), ...work(path)]
  } catch (error) {
    return [`cannot be opened: ${error instanceof Error ? error.message : String(error)}`]
  }
}

/** SQLite's own opinion, after it has recovered what is in the WAL. */
function damageIn(path: string): string[] {
  const handle = new BetterSqlite3(path)
  try {
    const found = handle.pragma('integrity_check', { simple: true })
    return found === 'ok' ? [] : [`integrity_check: ${String(found)}`]
  } finally {
    handle.close()
  }
}

function readingsIn(path: string): Readings {
  const found: Readings = new Map()
  readJournal(path, nativeCrypto, ({ deviceId, block }) => {
    const readings = found.get(deviceId) ?? new Map<number, string>()
    found.set(deviceId, readings)
    for (const reading of block.readings) readings.set(reading.number, JSON.stringify(reading))
  })
  return found
}

function judgeAgent(path: string, { receipts, sent }: Told, truth: Readings): string[] {
  const problems: string[] = []
  const store = openFogStore(path, systemClock)
  try {
    const fog = createFog({
      crypto: nativeCrypto,
      clock: systemClock,
      store,
      verifier: inlineVerifier(nativeCrypto),
      link: { send: () => undefined, drop: () => undefined },
      settings: fogDefaults,
      version,
    })
    const durable = new Map(fog.meters().map((meter) => [meter.deviceId, meter.durable]))
    for (const [device, through] of receipts) {
      const there = durable.get(device) ?? 0
      if (there < through) problems.push(`${device}: receipted to ${through}, restored to ${there}`)
    }
    if (store.outbox.next() <= sent)
      problems.push(`item ${sent} had been sent, the next number is ${store.outbox.next()}`)
  } finally {
    store.close()
  }
  const readings = readingsIn(path)
  for (const [device, through] of receipts) {
    problems.push(...compare(device, through, readings.get(device), truth.get(device)))
  }
  return problems
}

function compare(
  device: string,
  through: number,
  found: Map<number, string> | undefined,
  truth: Map<number, string> | undefined,
): string[] {
  let [missing, other] = [0, 0]
  for (let number = 1; number <= through; number++) {
    const there = found?.get(number)
    if (there === undefined) missing += 1
    else if (there !== truth?.get(number)) other += 1
  }
  const problems: string[] = []
  if (missing > 0) problems.push(`${device}: ${missing} receipted readings are gone`)
  if (other > 0) problems.push(`${device}: ${other} receipted readings are not what they were`)
  return problems
}

interface StoredItem {
  number: number
  what: string
}

/** Summaries and registers with the outbox numbers they came under. */
function itemsIn(path: string): StoredItem[] {
  const handle = new BetterSqlite3(path, { readonly: true })
  try {
    const sql = `
      SELECT number, 'window ' || start_s || ' ' || revision || ' ' || readings || ' ' || import_wh
        AS what FROM summary
      UNION ALL SELECT number, 'register ' || meter || ' ' || last || ' ' || hex(digest) FROM register`
    return handle.prepare<[], StoredItem>(sql).all()
  } finally {
    handle.close()
  }
}

function judgeCloud(path: string, { receipts }: Told, truth: readonly StoredItem[]): string[] {
  const problems: string[] = []
  const { queries, database } = openCloudStore(path)
  const durable = new Map(queries.accounting().fogs.map((fog) => [fog.fog, fog.durable]))
  database.close()
  const there = new Set(itemsIn(path).map(({ number, what }) => `${number} ${what}`))
  for (const [fog, through] of receipts) {
    const stored = durable.get(fog) ?? 0
    if (stored < through) problems.push(`${fog}: receipted to ${through}, stored to ${stored}`)
    const gone = truth.filter(
      ({ number, what }) => number <= through && !there.has(`${number} ${what}`),
    )
    if (gone.length > 0) problems.push(`${gone.length} receipted items are gone: ${gone[0]?.what}`)
  }
  return problems
}

function judgeMeter(
  path: string,
  { sealed, dropped, left }: Told,
  { name, truth }: { name: string; truth: ReadonlyMap<number, string> },
): string[] {
  const problems: string[] = []
  const file = openMeterStore(path)
  try {
    const store = file.meter(name)
    const { open, next } = store.load()
    const blocks = store.read(1, 1_000_000)
    // What is under no signature yet counts from the last block on.
    const used = Math.max(
      next - 1,
      (blocks.at(-1)?.last ?? 0) + open.length,
      next - 1 + open.length,
    )
    if (used < left)
      problems.push(`reading ${left} had left the meter, numbers go on after ${used}`)
    const held = new Set<number>()
    for (const { body } of blocks) {
      for (const reading of decodeBlock(nativeCrypto, body, name).readings) {
        held.add(reading.number)
        const there = truth.get(reading.number)
        if (there !== undefined && there !== JSON.stringify(reading))
          problems.push(`reading ${reading.number} is not what the fog node has of it`)
      }
    }
    for (let number = dropped + 1; number <= sealed; number++) {
      if (!held.has(number)) problems.push(`reading ${number} was signed, not receipted, is gone`)
    }
  } finally {
    file.close()
  }
  return problems
}
