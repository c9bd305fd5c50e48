import type { Credential, Trust } from '#credential'
import type { Crypto } from '#crypto'
import { defaults } from '#defaults'
import { codeOf } from '#errors'
import { decodeUp, encodeDown } from '#messages'
import type { Down } from '#messages'
import type { Clock } from '#ports'
import { commitBatch } from './batch.ts'
import type { BatchResult, Entry } from './batch.ts'
import { bump, newCounters } from './counters.ts'
import type { CloudCounters } from './counters.ts'
import type { CloudStore } from './store.ts'

export interface CloudOptions {
  crypto: Crypto
  clock: Clock
  store: CloudStore
  /**
   * Judges credentials of fogs' meters: authority, role and revocation. Give it no clock
   * (`now: () => null`): validity periods are judged where a device connects; evidence that waited
   * in a fog's outbox until its credential ran out is stored with a flag.
   */
  trust: Trust
  commit?: { intervalMs: number; maxItems: number }
}

/** What the caller has to do, in order. */
export type CloudOutput =
  /** Seal and send to this channel. */
  | { type: 'send'; cid: string; payload: Uint8Array }
  /** End this channel; the fog comes back with its own back-off. */
  | { type: 'drop'; cid: string; code: string }
  /** A commit changed what queries return. */
  | { type: 'stored' }
  /** A commit failed and nothing of it was receipted. */
  | { type: 'failed'; error: unknown }

/** The drain: numbered items of many fogs in, durable rows and receipts out. Does no I/O itself. */
export interface Cloud {
  opened(cid: string, peer: Credential): CloudOutput[]
  received(cid: string, peer: Credential, payload: Uint8Array): CloudOutput[]
  closed(cid: string): void
  /** Commits what is due. Call it no later than `nextTickAt()`. */
  tick(): CloudOutput[]
  /** Monotonic milliseconds, or null while nothing waits. */
  nextTickAt(): number | null
  /** Commits whatever waits, now: for an orderly stop. */
  flush(): CloudOutput[]
  /** A new signed revocation list: pushed to every open fog, and to others when they say hello. */
  setRevocations(list: Uint8Array): CloudOutput[]
  counters(): CloudCounters
  openFogs(): string[]
}

/** Items in one transaction at most; also the bound on memory for messages waiting. */
const MAX_ITEMS = 4_096
/** The same hole is asked for again after this long; the items behind it would each ask otherwise. */
const RESEND_QUIET_MS = 1_000

/** A fog is asked this often for the credential of a meter in one session, for so many meters. */
const MAX_ASKED = 16
const MAX_WANTED = 4_096

interface Session {
  peer: Credential
  /** Meters whose credential is missing, and how often the fog was asked for it. */
  wanted: Map<string, number>
  asked: { from: number; atMs: number } | null
  /** From the fog's hello: what it still holds from; null before it. */
  oldestHeld: number | null
}

interface State {
  options: CloudOptions
  sessions: Map<string, Session>
  /** Device id → its channel. A fog has one; the newest wins. */
  current: Map<string, string>
  waiting: Entry[]
  waitingItems: number
  dueAt: number | null
  revocations: Uint8Array | null
  counters: CloudCounters
}

/** See `Cloud`. Open sessions and the queue live in memory; everything else is in the store. */
export function createCloud(options: CloudOptions): Cloud {
  const state: State = {
    options,
    sessions: new Map(),
    current: new Map(),
    waiting: [],
    waitingItems: 0,
    dueAt: null,
    revocations: null,
    counters: newCounters(),
  }
  return {
    opened: (cid, peer) => open(state, cid, peer),
    received: (cid, peer, payload) => receive(state, cid, peer, payload),
    closed: (cid) => close(state, cid),
    tick: () => (isDue(state) ? commit(state) : []),
    nextTickAt: () => state.dueAt,
    flush: () => commit(state),
    setRevocations: (list) => pushRevocations(state, list),
    counters: () => state.counters,
    openFogs: () => [...state.current.keys()],
  }
}

function open(state: State, cid: string, peer: Credential): CloudOutput[] {
  const holder = state.sessions.get(cid)
  if (holder && holder.peer.deviceId !== peer.deviceId) close(state, cid)
  const before = state.current.get(peer.deviceId)
  // Fresh keys for a channel that goes on bring no new hello.
  const oldestHeld = holder?.peer.deviceId === peer.deviceId ? holder.oldestHeld : null
  state.sessions.set(cid, { peer, wanted: new Map(), asked: null, oldestHeld })
  state.current.set(peer.deviceId, cid)
  if (before === undefined || before === cid) return []
  state.sessions.delete(before)
  // Heard only by a program that is still there: then two of them have one identity.
  const farewell = send(before, { type: 'ended', code: 'superseded' })
  return [farewell, { type: 'drop', cid: before, code: 'cloud/superseded' }]
}

function close(state: State, cid: string): void {
  const session = state.sessions.get(cid)
  if (!session) return
  state.sessions.delete(cid)
  if (state.current.get(session.peer.deviceId) === cid) state.current.delete(session.peer.deviceId)
}

function receive(state: State, cid: string, peer: Credential, payload: Uint8Array): CloudOutput[] {
  const { messages } = state.counters
  const session = state.sessions.get(cid)
  if (session?.peer.deviceId !== peer.deviceId) {
    bump(messages, 'superseded')
    return []
  }
  const message = decodeOrNull(payload)
  switch (message?.type) {
    case 'hello':
    case 'items':
    case 'credential':
      bump(messages, message.type)
      if (message.type === 'hello') session.oldestHeld = message.oldestHeld
      enqueue(state, { cid, peer, message, oldestHeld: session.oldestHeld })
      return isDue(state) ? commit(state) : []
    default:
      bump(messages, message === null ? 'malformed' : 'unexpected')
      return []
  }
}

/** An authenticated fog that sends nonsense loses the message, not the session. */
function decodeOrNull(payload: Uint8Array): ReturnType<typeof decodeUp> | null {
  try {
    return decodeUp(payload)
  } catch (error) {
    if (codeOf(error) === 'unexpected') throw error
    return null
  }
}

function enqueue(state: State, entry: Entry): void {
  const { clock, commit: limits } = state.options
  state.waiting.push(entry)
  state.waitingItems += entry.message.type === 'items' ? entry.message.items.length : 1
  state.dueAt ??= clock.monotonic() + (limits?.intervalMs ?? defaults.commit.intervalMs)
}

function isDue({ options, waitingItems, dueAt }: State): boolean {
  if (dueAt === null) return false
  const maxItems = options.commit?.maxItems ?? MAX_ITEMS
  return waitingItems >= maxItems || options.clock.monotonic() >= dueAt
}

function commit(state: State): CloudOutput[] {
  const entries = state.waiting
  state.waiting = []
  state.waitingItems = 0
  state.dueAt = null
  if (entries.length === 0) return []
  const outputs: CloudOutput[] = []
  if (attempt(state, entries, outputs) === null || entries.length === 1) return outputs
  // One message the store cannot take must not hold up the other fogs: try each alone.
  for (const entry of entries) attempt(state, [entry], outputs)
  return outputs
}

/** Null when it worked; otherwise the error, reported and, for a single entry, its channel ended. */
function attempt(state: State, entries: Entry[], outputs: CloudOutput[]): unknown {
  const { crypto, trust, clock, store } = state.options
  try {
    const nowS = Math.floor(clock.now() / 1000)
    const context = {
      crypto,
      trust,
      nowS,
      mayAskFor: (cid: string, deviceId: string) => mayAskForCredential(state, cid, deviceId),
      channelOf: (fog: string) => state.current.get(fog) ?? null,
    }
    announce(state, commitBatch(context, store, entries), outputs)
    return null
  } catch (error) {
    state.counters.commitFailures += 1
    const [only, ...others] = entries
    if (only && others.length === 0) {
      outputs.push({ type: 'failed', error })
      outputs.push({ type: 'drop', cid: only.cid, code: 'cloud/not-stored' })
      close(state, only.cid)
    }
    return error
  }
}

/** Only after the transaction returned does anyone hear of it. */
function announce(state: State, result: BatchResult, outputs: CloudOutput[]): void {
  mergeCounters(state.counters, result.counters)
  state.counters.commits += 1
  for (const { cid, message } of result.answers) {
    if (message.type === 'resend' && !mayAsk(state, cid, message.from)) continue
    outputs.push(send(cid, message))
    if (message.type === 'welcome' && state.revocations)
      outputs.push(send(cid, { type: 'revocations', list: state.revocations }))
  }
  if (result.changed) outputs.push({ type: 'stored' })
}

function mayAskForCredential(state: State, cid: string, deviceId: string): boolean {
  const wanted = state.sessions.get(cid)?.wanted
  if (wanted === undefined || wanted.size >= MAX_WANTED) return false
  const asked = wanted.get(deviceId) ?? 0
  wanted.set(deviceId, asked + 1)
  return asked < MAX_ASKED
}

function mayAsk(state: State, cid: string, from: number): boolean {
  const session = state.sessions.get(cid)
  if (!session) return false
  const atMs = state.options.clock.monotonic()
  const { asked } = session
  if (asked?.from === from && atMs - asked.atMs < RESEND_QUIET_MS) return false
  session.asked = { from, atMs }
  state.counters.resends += 1
  return true
}

/** Fogs that the list itself revokes are let go. */
function pushRevocations(state: State, list: Uint8Array): CloudOutput[] {
  state.revocations = list
  return [...state.sessions].map(([cid, { peer }]) => {
    try {
      state.options.trust.check(peer.encoded)
      return send(cid, { type: 'revocations', list })
    } catch (error) {
      close(state, cid)
      return { type: 'drop', cid, code: codeOf(error) }
    }
  })
}

function send(cid: string, message: Down): CloudOutput {
  return { type: 'send', cid, payload: encodeDown(message) }
}

function mergeCounters(into: CloudCounters, from: CloudCounters): void {
  for (const [key, count] of Object.entries(from.items)) bump(into.items, key, count)
  for (const [key, count] of Object.entries(from.refused)) bump(into.refused, key, count)
}
