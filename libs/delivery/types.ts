/** One thing to deliver: a single number (first = last) or a range of them under one signature. */
export interface OutboxItem {
  /** Lowest number this item carries. Items never overlap and come in increasing order. */
  first: number
  /** Highest number this item carries; at least `first`. */
  last: number
  /** What `frame` turns into a message: a finished up message, or one entry of an `items` message. */
  body: Uint8Array
}

/** An item on its way out. */
export interface SendItem extends OutboxItem {
  /** This session has already carried it once. */
  again: boolean
  /** The numbers from here up to `first` − 1 are not held any more and will not come; else null. */
  gapFrom: number | null
}

/**
 * The durable side of a sender. Every call has taken effect for this process when it returns;
 * what it means on disk is the store's promise (items are on disk before the sender sees them).
 */
export interface Outbox {
  /** The oldest number still held (sealed or not), or `next()` when nothing is. */
  oldest(): number
  /** The number the next new thing will get; numbers below it are taken for ever. */
  next(): number
  /**
   * Finished items whose `last` is at least `fromNumber`, oldest first, at most `maxItems`. One that
   * turns out to be damaged ends the list: it is for the store's owner to take it out.
   */
  read(fromNumber: number, maxItems: number): OutboxItem[]
  /** Forgets every item whose `last` is at most `number`: the peer holds it durably. */
  dropThrough(number: number): void
  /** Takes one item out of the way for good: the peer said why it will never accept it. */
  refuse(first: number, last: number, code: string): void
  /**
   * The peer holds numbers below this one that this side no longer remembers using, or holds other
   * things under. Items still held get numbers from `number` on, in order, unless their content is
   * bound to the old ones; new things follow.
   */
  raiseNext(number: number): void
}

/** What the peer may say, as `decodeDown` of `#messages` yields it. Other types are not ours. */
export type Reply =
  | { type: 'welcome'; durable: number; newest?: Uint8Array }
  | { type: 'receipt'; durable: number }
  | { type: 'refused'; first: number; last: number; code: string }
  | { type: 'resend'; from: number }

/** What an operator may want to hear about. Nothing here needs an answer. */
export type DeliveryEvent =
  | { type: 'refused'; first: number; last: number; code: string }
  /** Below `to` the peer has other things than this side, which has forgotten them, or `next` was `from`. */
  | { type: 'raised'; from: number; to: number }
  | { type: 'rewound'; from: number; reason: 'asked' | 'timeout' }
  /** A receipt, refusal or resend for numbers this session never sent; nothing was changed. */
  | { type: 'ignored'; reply: Reply }

/** Totals since the sender was made; they only grow, except `durable` which is a position. */
export interface DeliveryCounters {
  /** Highest number the peer has acknowledged in a welcome or receipt. */
  durable: number
  itemsSent: number
  itemsResent: number
  itemsRefused: number
  rewinds: number
  ignored: number
}
