import type { Credential, Trust } from '#credential'
import type { Crypto } from '#crypto'
import type { Down, ReceivedItem } from '#messages'
import { applyItem, note, Refusal } from './apply.ts'
import type { ApplyContext } from './apply.ts'
import { bump, newCounters } from './counters.ts'
import type { CloudCounters } from './counters.ts'
import { newFog } from './store.ts'
import type { CloudStore, FogRecord } from './store.ts'

interface Hello {
  type: 'hello'
  oldestHeld: number
  next: number
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
  message: Hello | Items
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
}

/** One entry's view of the running transaction. */
interface Scope extends ApplyContext {
  cid: string
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
    for (const { cid, peer, message } of entries) {
      const fog = peer.deviceId
      const record = records.get(fog) ?? copy(tx.fog(fog)) ?? newFog()
      records.set(fog, record)
      const scope: Scope = { ...context, tx, fog: peer, record, cid, result }
      if (message.type === 'hello') applyHello(scope, message)
      else if (applyItems(scope, message)) receipts.set(fog, { cid, durable: record.durable })
    }
    for (const [fog, record] of records) tx.saveFog(fog, record, context.nowS)
    for (const { cid, durable } of receipts.values())
      result.answers.push({ cid, message: { type: 'receipt', durable } })
    return result
  })
}

/** The store's own record must not change before the transaction commits. */
function copy(record: FogRecord | null): FogRecord | null {
  return record && { ...record }
}

/**
 * Numbers the fog no longer holds will never come: they were receipted by another cloud node, or
 * given up. Waiting for them would stop the fog for ever, so the inbox moves on and says so.
 */
function applyHello(scope: Scope, { oldestHeld, next }: Hello): void {
  const { record, result, cid } = scope
  if (oldestHeld - 1 > record.durable) {
    const missing = `outbox numbers ${record.durable + 1} to ${oldestHeld - 1} never came here`
    note(scope, 'gap', null, missing)
    record.durable = oldestHeld - 1
    result.changed = true
  }
  if (record.durable >= next) {
    const detail = `it offers number ${next}, ${record.durable} is stored already: it lost its outbox`
    note(scope, 'numbers-restarted', null, detail)
    result.changed = true
  }
  record.next = Math.max(next, record.durable + 1)
  result.answers.push({ cid, message: { type: 'welcome', durable: record.durable } })
}

/** True when the fog gets a receipt, false when something before these items is missing. */
function applyItems(scope: Scope, { first, items, gapFrom }: Items): boolean {
  const { record, result, cid } = scope
  if (gapFrom !== undefined && gapFrom <= record.durable + 1) applyGap(scope, first - 1)
  if (first > record.durable + 1) {
    result.answers.push({ cid, message: { type: 'resend', from: record.durable + 1 } })
    return false
  }
  const known = Math.min(record.durable + 1 - first, items.length)
  if (known > 0) bump(result.counters.items, 'resent', known)
  for (const [offset, item] of items.slice(known).entries()) {
    const number = first + known + offset
    const answer = applyOne(scope, number, item)
    if (answer) result.answers.push({ cid, message: answer })
    record.durable = number
    result.changed = true
  }
  record.next = Math.max(record.next, record.durable + 1)
  return true
}

/** The fog has given up what it cannot hold: waiting for those numbers would stop it for ever. */
function applyGap(scope: Scope, through: number): void {
  const { record } = scope
  if (through <= record.durable) return
  const detail = `outbox numbers ${record.durable + 1} to ${through}: the fog node had no room`
  note(scope, 'items-given-up', null, detail)
  record.durable = through
}

function applyOne(scope: Scope, number: number, item: ReceivedItem): Down | null {
  const { tx, fog, nowS, result } = scope
  try {
    const outcome = applyItem(scope, number, item)
    bump(result.counters.items, outcome === 'stored' ? item.type : outcome)
    return null
  } catch (error) {
    if (!(error instanceof Refusal)) throw error
    const { code } = error
    tx.addRefused({ fog: fog.deviceId, number, kind: item.type, code, receivedS: nowS })
    bump(result.counters.refused, code)
    return { type: 'refused', first: number, last: number, code }
  }
}
