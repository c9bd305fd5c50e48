import { equal } from '#bytes'
import type { Clock } from '#ports'
import type {
  DeliveryCounters,
  DeliveryEvent,
  Outbox,
  OutboxItem,
  Reply,
  SendItem,
} from './types.ts'

export interface SenderOptions {
  outbox: Outbox
  clock: Clock
  /** Items that may be on their way without a receipt. */
  windowItems: number
  /** Without any progress for this long, everything unacknowledged is sent again. */
  resendAfterMs: number
  /** Without any progress for this long, the connection is given up. Default 4 × `resendAfterMs`. */
  reconnectAfterMs?: number
  /** The hello message: what is held from, and the next number. */
  hello(oldestHeld: number, next: number): Uint8Array
  /** What the peer's welcome would say of this item as its newest; without it such words are not judged. */
  mark?(body: Uint8Array): Uint8Array
  /** Turns items into payloads for the channel, in order; may put several items into one. */
  frame(items: readonly SendItem[]): Uint8Array[]
  onEvent?(event: DeliveryEvent): void
}

/**
 * One direction of reliable delivery over an open channel. Every method that returns payloads
 * expects the caller to seal and send them in that order; one that gets lost is made good later.
 */
export interface Sender {
  /** The channel is open (or has new keys): returns the hello. Nothing else leaves until the welcome. */
  onOpen(): Uint8Array[]
  /** The channel is gone. Safe to call twice. */
  onClosed(): void
  onMessage(reply: Reply): Uint8Array[]
  /** Sends what the window has room for. Call after adding to the outbox. */
  pump(): Uint8Array[]
  /** Handles timeouts. Call at `nextTickAt`, or every second or so. */
  tick(): Uint8Array[]
  /** Monotonic ms of the next timeout, or null while there is nothing to wait for. */
  nextTickAt(): number | null
  /** True when nothing has moved for `reconnectAfterMs`: close this channel and open another. */
  needsReconnect(): boolean
  /** True between the peer's welcome and the end of the channel. */
  welcomed(): boolean
  /** Every item below this number has been sent in this session or is durable at the peer. */
  sentBelow(): number
  /** Items sent in this session and not yet acknowledged. */
  inFlight(): number
  counters(): Readonly<DeliveryCounters>
}

/**
 * How far a peer may raise our numbers at once: more than any restored copy can be behind. Numbers
 * are never used again, so a hostile peer that could name any would use up all there are.
 */
const MOST_RAISED = 2 ** 32

/** Rewinds on request are spaced: a window of 64 behind one lost frame asks 63 times. */
const FIRST_REWIND_GAP_MS = 1_000

interface State {
  phase: 'closed' | 'greeting' | 'open'
  /** Number the next read of the outbox starts from. */
  cursor: number
  /** Highest number this session has sent or been told is durable. */
  highest: number
  inFlight: { first: number; last: number }[]
  /** Monotonic ms since when we wait for the peer; null when we are owed nothing. */
  stalledSince: number | null
  /** Monotonic ms of the last send that a timeout would repeat. */
  sentAt: number
  rewindTo: number | null
  rewindNotBefore: number
  rewindGapMs: number
}

function closedState(): State {
  return {
    phase: 'closed',
    cursor: 0,
    highest: 0,
    inFlight: [],
    stalledSince: null,
    sentAt: 0,
    rewindTo: null,
    rewindNotBefore: -Infinity,
    rewindGapMs: FIRST_REWIND_GAP_MS,
  }
}

/** Makes a sender for one outbox; it outlives channels and is told about each through onOpen. */
export function createSender(options: SenderOptions): Sender {
  const { outbox, clock } = options
  const reconnectAfterMs = options.reconnectAfterMs ?? 4 * options.resendAfterMs
  const counters: DeliveryCounters = {
    durable: 0,
    itemsSent: 0,
    itemsResent: 0,
    itemsRefused: 0,
    rewinds: 0,
    ignored: 0,
  }
  let state = closedState()
  /** Highest number sent by this process on any channel: no peer can hold more of ours than that. */
  let everSent = 0

  function hello(): Uint8Array[] {
    state.sentAt = clock.monotonic()
    return [options.hello(outbox.oldest(), outbox.next())]
  }

  function onOpen(): Uint8Array[] {
    state = { ...closedState(), phase: 'greeting', stalledSince: clock.monotonic() }
    return hello()
  }

  function ignore(reply: Reply): void {
    counters.ignored += 1
    options.onEvent?.({ type: 'ignored', reply })
  }

  /** The peer answered about something we sent: the patience of every timer starts afresh. */
  function progress(): void {
    const now = clock.monotonic()
    state.sentAt = now
    state.stalledSince = state.inFlight.length > 0 ? now : null
    state.rewindGapMs = FIRST_REWIND_GAP_MS
  }

  function settleThrough(durable: number): void {
    const news = state.phase === 'greeting' || durable > counters.durable
    counters.durable = state.phase === 'greeting' ? durable : Math.max(counters.durable, durable)
    everSent = Math.max(everSent, durable)
    state.highest = Math.max(state.highest, durable)
    state.inFlight = state.inFlight.filter((item) => item.last > durable)
    if (!news) return // a repeated receipt is no sign of progress
    outbox.dropThrough(durable)
    state.cursor = Math.max(state.cursor, durable + 1)
    if (state.rewindTo !== null && state.rewindTo <= durable) state.rewindTo = null
    progress()
  }

  /**
   * Whether what is held under numbers that the peer has is not what the peer has there. A store that
   * lost its newest part (no database notices every flipped bit in its log) has used numbers again.
   */
  function holdsOther(durable: number, newest: Uint8Array | undefined): boolean {
    if (options.mark === undefined || newest === undefined) return false
    const [item] = outbox.read(durable, 1)
    return item?.last === durable && !equal(options.mark(item.body), newest)
  }

  function onWelcome(durable: number, newest?: Uint8Array): void {
    if (state.phase === 'open') return onReceipt({ type: 'receipt', durable })
    if (durable - outbox.next() > MOST_RAISED) return ignore({ type: 'welcome', durable })
    const next = outbox.next()
    const taken = durable >= next || holdsOther(durable, newest)
    // First this: what is held here under numbers the peer has for something else must not count
    // as durable there.
    if (taken) outbox.raiseNext(durable + 1)
    settleThrough(durable)
    state.phase = 'open'
    if (taken) options.onEvent?.({ type: 'raised', from: next, to: durable + 1 })
  }

  function onReceipt(reply: Reply & { type: 'receipt' }): void {
    if (reply.durable > everSent) return ignore(reply)
    settleThrough(reply.durable)
  }

  function onRefused(reply: Reply & { type: 'refused' }): void {
    const { first, last, code } = reply
    const hit = state.inFlight.filter((item) => item.first <= last && item.last >= first)
    if (hit.length === 0) return ignore(reply)
    for (const item of hit) {
      outbox.refuse(item.first, item.last, code)
      counters.itemsRefused += 1
      options.onEvent?.({ type: 'refused', first: item.first, last: item.last, code })
    }
    state.inFlight = state.inFlight.filter((item) => !hit.includes(item))
    progress()
  }

  function rewind(from: number, reason: 'asked' | 'timeout'): void {
    const now = clock.monotonic()
    state.cursor = Math.min(state.cursor, from)
    state.inFlight = state.inFlight.filter((item) => item.last < from)
    state.sentAt = now
    state.rewindTo = null
    state.rewindNotBefore = now + state.rewindGapMs
    state.rewindGapMs = Math.min(2 * state.rewindGapMs, options.resendAfterMs)
    counters.rewinds += 1
    options.onEvent?.({ type: 'rewound', from, reason })
  }

  function rewindIfDue(): void {
    if (state.rewindTo === null || clock.monotonic() < state.rewindNotBefore) return
    rewind(state.rewindTo, 'asked')
  }

  function onResend(reply: Reply & { type: 'resend' }): void {
    if (reply.from > state.highest) return ignore(reply)
    state.rewindTo = Math.min(state.rewindTo ?? reply.from, reply.from)
    rewindIfDue()
  }

  function onMessage(reply: Reply): Uint8Array[] {
    if (state.phase === 'closed') return []
    if (reply.type === 'welcome') onWelcome(reply.durable, reply.newest)
    else if (state.phase === 'greeting') ignore(reply)
    else if (reply.type === 'receipt') onReceipt(reply)
    else if (reply.type === 'refused') onRefused(reply)
    else if (reply.type === 'resend') onResend(reply)
    return pump()
  }

  function markSent(item: OutboxItem): SendItem {
    const again = item.last <= state.highest
    if (again) counters.itemsResent += 1
    else counters.itemsSent += 1
    state.highest = Math.max(state.highest, item.last)
    everSent = Math.max(everSent, item.last)
    const gapFrom = item.first > state.cursor ? state.cursor : null
    state.cursor = item.last + 1
    state.inFlight.push({ first: item.first, last: item.last })
    return { ...item, again, gapFrom }
  }

  function pump(): Uint8Array[] {
    const room = options.windowItems - state.inFlight.length
    if (state.phase !== 'open' || room <= 0) return []
    const items = outbox.read(state.cursor, room)
    if (items.length === 0) {
      if (state.inFlight.length === 0) state.stalledSince = null
      return []
    }
    const now = clock.monotonic()
    if (state.inFlight.length === 0) state.sentAt = now
    state.stalledSince ??= now
    return options.frame(items.map(markSent))
  }

  function tick(): Uint8Array[] {
    if (state.phase === 'closed') return []
    const overdue = clock.monotonic() - state.sentAt >= options.resendAfterMs
    if (state.phase === 'greeting') return overdue ? hello() : []
    // From what is durable, not from the oldest item: a gap before that has to be named again too.
    if (overdue && state.inFlight.length > 0) rewind(counters.durable + 1, 'timeout')
    else rewindIfDue()
    return pump()
  }

  function nextTickAt(): number | null {
    if (state.stalledSince === null) return null
    const resend = state.sentAt + options.resendAfterMs
    return state.rewindTo === null ? resend : Math.min(resend, state.rewindNotBefore)
  }

  return {
    onOpen,
    onClosed: () => {
      state = closedState()
    },
    onMessage,
    pump,
    tick,
    nextTickAt,
    needsReconnect: () =>
      state.stalledSince !== null && clock.monotonic() - state.stalledSince >= reconnectAfterMs,
    welcomed: () => state.phase === 'open',
    sentBelow: () => state.cursor,
    inFlight: () => state.inFlight.length,
    counters: () => counters,
  }
}
