import type { DeliveryCounters, DeliveryEvent, OutboxItem } from '#delivery'

/** What a sensor, a file or a model says at one moment. All integers. */
export interface Measurement {
  /** Seconds since 1970 by the meter's clock. */
  timeS: number
  /** 0 synchronised (default), 1 estimated, 2 unknown: see `timeQuality` of #reading. */
  timeQuality?: 0 | 1 | 2
  /** Mean active power over the interval ending at `timeS`, in W; positive is import. */
  powerW: number
  /** Tenths of a volt. */
  voltageDv?: number | null
  /** mA. */
  currentMa?: number | null
  /** Cumulative registers in Wh as the physical meter shows them; without them power is integrated. */
  importWh?: number | null
  exportWh?: number | null
  /** The physical meter was replaced: its registers start somewhere else from here on. */
  replaced?: boolean
  /** Further status bits of #reading (tamper, power fail, substitute). */
  status?: number
}

/**
 * Durable memory of one meter, all opaque bytes. A call has reached the disk when it returns, or,
 * inside `transaction`, when that returns; nothing derived from it may leave the device earlier.
 */
export interface MeterStore {
  /** `next` is the lowest number certainly never used; a store that reserves ahead says so here. */
  load(): { head: Uint8Array | null; open: Uint8Array[]; next: number }
  /** Adds one reading to the open block. */
  append(number: number, record: Uint8Array): void
  /** Atomically: keeps the signed block, empties the open block, replaces the head. */
  seal(block: OutboxItem, head: Uint8Array): void
  /** Atomically: empties the open block, replaces the head, never uses numbers below `next`. */
  restart(head: Uint8Array, next: number): void
  /** All or nothing, also across several meters that share a store. Nested calls join the outer. */
  transaction<T>(work: () => T): T
  /** Lowest number of the oldest signed block held, or null. */
  oldest(): number | null
  /** Signed blocks held (refused ones not counted). */
  count(): number
  read(fromNumber: number, maxItems: number): OutboxItem[]
  /** May reach the disk later: after a crash the fog's welcome says the same again. */
  dropThrough(number: number): void
  refuse(first: number, last: number, code: string): void
}

export interface MeterSettings {
  /** `live` sends every reading at once and signs blocks afterwards; `block` sends signed blocks only. */
  mode: 'live' | 'block'
  /** A block ends with this many readings (1 to 64), */
  maxReadings: number
  /** or this long after its first reading, by the monotonic clock, */
  maxSeconds: number
  /** or with the reading stamped on (before the one stamped after) a multiple of this. */
  boundarySeconds: number
  /** Signed blocks kept for a fog that does not answer; then new readings are refused. */
  maxBlocks: number
  /** Without registers, a longer silence than this is not filled with energy. */
  maxGapSeconds: number
  /** Value at which the physical registers start again from 0, if they do. */
  rolloverWh: number | null
  windowItems: number
  resendAfterMs: number
}

/** Things an operator may want to hear about. */
export type MeterEvent =
  | { type: 'delivery'; event: DeliveryEvent }
  | { type: 'register'; what: RegisterEvent; number: number }
  /** The fog knows higher numbers than this store: it was restored from an old copy. */
  | { type: 'numbers-raised'; to: number; readingsGivenUp: number }
  /** A signed revocation list arrived; the caller checks it. */
  | { type: 'revocations'; list: Uint8Array }
  /** The fog node ended this channel: another program has connected as this meter. */
  | { type: 'superseded' }
  | { type: 'bad-message'; code: string }

/**
 * `held`: the register went back or showed 0, so its last good value is repeated; `reset`,
 * `rollover`, `replaced`: it goes on from another value, the sum continues; `gap`: power was not
 * integrated over a silence.
 */
export type RegisterEvent = 'held' | 'reset' | 'rollover' | 'replaced' | 'gap'

/** A snapshot for people and metrics. */
export interface MeterStatus {
  deviceId: string
  /** Number, time and registers of the newest reading; zeros before the first. */
  newestNumber: number
  newestTimeS: number
  importWh: number
  exportWh: number
  /** Highest number under a signature, and highest the fog holds durably. */
  sealedThrough: number
  receiptedThrough: number
  openReadings: number
  outboxBlocks: number
  refusedBlocks: number
  /** Since the program started. */
  readings: number
  blocks: number
  liveMessages: number
  refusedMeasurements: number
  delivery: Readonly<DeliveryCounters>
  welcomed: boolean
}
