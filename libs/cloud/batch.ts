import type { Credential, Trust } from '#credential'
import type { Crypto } from '#crypto'
import { encodeItem, itemMark, type Down, type ReceivedItem, type ReceivedUp } from '#messages'
import { applyItem } from './apply.ts'
import { note, Refusal, UnknownMeter, type ApplyContext } from './context.ts'
import { bump, newCounters } from './counters.ts'
import type { CloudCounters } from './counters.ts'
import { newFog } from './store.ts'
import type { CloudStore, FogRecord } from './store.ts'
import { forgetAsked, withdrawals } from './runs.ts'

interface Hello {
  type: 'hello'
  oldestHeld: number
  next: number
  store?: number
}

interface Items {
  type: 'items'
  first: number
  items: ReceivedItem[]
  gapFrom?: number
}

/** One message of a fog waiting for the next commit. */
export interface Entry {
  cid: string
  peer: Credential
  message: Hello | Items | Extract<ReceivedUp, { type: 'credential' }>
  /** What the fog said in this session that it still holds from; null before its hello. */
  oldestHeld: number | null
}

/** What one commit did, to be told only after the transaction returned. */
export interface BatchResult {
  answers: { cid: string; message: Down }[]
  counters: CloudCounters
  /** Anything a reader could see changed. */
  changed: boolean
}

interface BatchContext {
  crypto: Crypto
  trust: Trust
  nowS: number
  /** Whether to ask this channel's fog for the credential of a meter once more. */
  mayAskFor(cid: string, deviceId: string): boolean
  /** The open channel of a fog; null while it has none. */
  channelOf(fog: string): string | null
}

/** One entry's view of the running transaction. */
interface Scope extends ApplyContext, BatchContext {
  cid: string
  database: Uint8Array | null
  result: BatchResult
}

/** Runs all entries in one transaction, in order. Throws when the transaction did not happen. */
export function commitBatch(
  context: BatchContext,
  store: CloudStore,
  entries: readonly Entry[],
): BatchResult {
  return store.transact((tx) => {
    const result: BatchResult = { answers: [], counters: newCounters(), changed: false }
    const records = new Map<string, FogRecord>()
    const receipts = new Map<string, { cid: string; durable: number }>()
    const doubling = new Set<string>()
    const shared = { ...context, database: store.id, tx, doubling, result }
    for (const { cid, peer, message, oldestHeld } of entries) {
      const fog = peer.deviceId
      const record = records.get(fog) ?? copy(tx.fog(fog)) ?? newFog()
      records.set(fog, record)
      const scope: Scope = { ...shared, fog: peer, record, cid }
      if (message.type === 'hello') applyHello(scope, message)
      else if (message.type === 'credential') applyAnswer(scope, message)
      else if (applyItems(scope, message, oldestHeld))
        receipts.set(fog, { cid, durable: record.durable - record.offset })
    }
    for (const [fog, record] of records) tx.saveFog(fog, record, context.nowS)
    for (const { cid, durable } of receipts.values())
      result.answers.push({ cid, message: { type: 'receipt', durable } })
    for (const fog of new Set([...records.keys(), ...doubling])) {
      const cid = context.channelOf(fog)
      if (cid === null) continue
      for (const message of withdrawals(tx, fog, context.nowS))
        result.answers.push({ cid, message })
    }
    return result
  })
}

/** The store's own record must not change before the transaction commits. */
function copy(record: FogRecord | null): FogRecord | null {
  return record && { ...record }
}

/** The answer says how far this store is, even where the fog no longer holds what comes next. */
function applyHello(scope: Scope, hello: Hello): void {
  const { tx, fog, record, result, cid } = scope
  noteStore(scope, hello)
  forgetAsked(tx, fog.deviceId, record.offset)
  const next = hello.next + record.offset
  if (record.durable >= next) {
    const detail =
      `it offers number ${next}, ${record.durable} is stored already: its store was lost or restored ` +
      'from an older copy; it goes on above, and what only it had in between is missing'
    note(scope, 'numbers-restarted', null, detail)
    // Of another copy it may be the very history that is stored.
    tx.forgetForks(fog.deviceId)
    result.changed = true
  }
  record.next = Math.max(next, record.durable + 1)
  const durable = record.durable - record.offset
  const { database } = scope
  const said = database === null ? {} : { database, newest: record.newest }
  result.answers.push({ cid, message: { type: 'welcome', durable, ...said } })
}

/**
 * A fog with another store than before counts from 1 again, and knows nothing of what it sent. All
 * of that stays; what comes now is added to it (see README.md).
 */
function noteStore(scope: Scope, { store, next }: Hello): void {
  const { tx, fog, record, result } = scope
  if (store === undefined || store === record.store) return
  const replaced = record.store === null ? record.durable >= next : true
  record.store = store
  result.changed = true
  if (!replaced || record.durable === 0) return
  record.offset = record.durable
  tx.forgetForks(fog.deviceId)
  const detail = `its store is a new one: numbers start again, ${record.durable} of the old one stay`
  note(scope, 'store-replaced', null, detail)
}

/**
 * Numbers the fog no longer holds will never come: they were receipted by another cloud node, or by
 * this one before its store was set back, or given up. Waiting for them would stop the fog for ever,
 * so the inbox moves on and says so; but only with the first items after them. A fog sends none
 * before it has read in the welcome how far this store is, and taken care of what is missing.
 */
function passOver(scope: Scope, oldestHeld: number): void {
  const { record, result } = scope
  const missing =
    `outbox numbers ${record.durable + 1} to ${oldestHeld - 1} are not stored here: another cloud ` +
    'node has them, the fog node gave them up, or this store was restored from an older copy and gets ' +
    'again what the fog has'
  note(scope, 'gap', null, missing)
  record.durable = oldestHeld - 1
  record.newest = nothing
  result.changed = true
}

/** True when the fog gets a receipt, false when something before these items is missing. */
function applyItems(scope: Scope, message: Items, ownOldestHeld: number | null): boolean {
  const { record, result, cid } = scope
  const { items, gapFrom } = message
  const first = message.first + record.offset
  const oldestHeld = (ownOldestHeld ?? 0) + record.offset
  if (ownOldestHeld !== null && oldestHeld - 1 > record.durable && first >= oldestHeld)
    passOver(scope, oldestHeld)
  if (gapFrom !== undefined && gapFrom + record.offset <= record.durable + 1)
    applyGap(scope, first - 1)
  if (first > record.durable + 1) {
    const from = record.durable + 1 - record.offset
    result.answers.push({ cid, message: { type: 'resend', from } })
    return false
  }
  const known = Math.min(record.durable + 1 - first, items.length)
  let newest: ReceivedItem | null = null
  if (known > 0) bump(result.counters.items, 'resent', known)
  for (const [offset, item] of items.slice(known).entries()) {
    const number = first + known + offset
    const answers = applyOne(scope, number, item)
    for (const answer of answers) result.answers.push({ cid, message: answer })
    // It comes again, and everything behind it, when the credential is here.
    if (answers.some(({ type }) => type === 'unknown')) break
    record.durable = number
    newest = item
    result.changed = true
  }
  if (newest !== null) record.newest = markOf(scope, newest)
  record.next = Math.max(record.next, record.durable + 1)
  return true
}

const nothing = new Uint8Array()

/** Items are deterministic CBOR: they encode to the bytes they came as. */
function markOf({ crypto }: Scope, item: ReceivedItem): Uint8Array {
  return item.type === 'unreadable' ? nothing : itemMark(crypto, encodeItem(item))
}

/** The fog has given up what it cannot hold: waiting for those numbers would stop it for ever. */
function applyGap(scope: Scope, through: number): void {
  const { record } = scope
  if (through <= record.durable) return
  const detail =
    `outbox numbers ${record.durable + 1} to ${through}: the fog node had no room for them, or found ` +
    'them damaged on its disk and says so'
  note(scope, 'items-given-up', null, detail)
  record.durable = through
  record.newest = nothing
}

/** A credential outside the numbers; one that is no good is as if it had never come. */
function applyAnswer(scope: Scope, { cwt }: { cwt: Uint8Array }): void {
  const { result } = scope
  try {
    bump(result.counters.items, applyItem(scope, 0, { type: 'credential', cwt }))
    result.changed = true
  } catch (error) {
    if (!(error instanceof Refusal)) throw error
    bump(result.counters.refused, error.code)
  }
}

/**
 * Stores one item, or says why never. A register of a meter nobody has introduced here (another
 * cloud has the credential) is asked about first.
 */
function applyOne(scope: Scope, number: number, item: ReceivedItem): Down[] {
  const { tx, fog, nowS, record, result } = scope
  try {
    const outcome = applyItem(scope, number, item)
    bump(result.counters.items, outcome === 'stored' ? item.type : outcome)
    return []
  } catch (error) {
    if (!(error instanceof Refusal)) throw error
    const { code } = error
    const own = number - record.offset
    if (error instanceof UnknownMeter && scope.mayAskFor(scope.cid, error.deviceId))
      return [
        { type: 'unknown', deviceId: error.deviceId },
        { type: 'resend', from: own },
      ]
    tx.addRefused({ fog: fog.deviceId, number, kind: item.type, code, receivedS: nowS })
    bump(result.counters.refused, code)
    return [{ type: 'refused', first: own, last: own, code }]
  }
}
