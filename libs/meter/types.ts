import type { DeliveryCounters, DeliveryEvent, OutboxItem } from '#delivery'

/** What a sensor, a file or a model says at one moment. All integers. */
export interface Measurement {
  /** Seconds since 1970 by the meter's clock. */
  timeS: number
  /** 0 synchronised (default), 1 estimated, 2 unknown: see `timeQuality` of #reading. */
  timeQuality?: 0 | 1 | 2
  /**
   * Seconds since the boot (`Boot`) at which it was taken. A source that measures now gives it, so
   * that a clock that is set shows; one that replays the past must not. Where the time is unknown,
   * it is taken to be now.
   */
  ageS?: number
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

/** One run of the monotonic clock: from this start of the device to its next. */
export interface Boot {
  /** A random integer below 2^53, the same for all programs started since this boot. */
  id: number
  /** Whole seconds since then; never steps. */
  ageS(): number
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
  /** Of these, the ones that `thin` has not touched, and the oldest of them. */
  whole(): number
  oldestWhole(): OutboxItem | null
  /** Replaces the body of one held block by a smaller one; it counts as whole no more. */
  thin(block: OutboxItem): void
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
  /** Signed blocks kept with their readings for a fog that does not answer; the oldest go first. */
  maxBlocks: number
  /** Statements kept beyond these, without readings; then new readings are refused. */
  maxStatements: number
  /** Without registers, a longer silence than this is not filled with energy. */
  maxGapSeconds: number
  /** Value at which the physical registers start again from 0, if they do. */
  rolloverWh: number | null
  /** A register that rises faster than this is not believed at once, more power is not integrated. */
  maxPowerW: number
  windowItems: number
  resendAfterMs: number
}

/** Things an operator may want to hear about. */
export type MeterEvent =
  | { type: 'delivery'; event: DeliveryEvent }
  | { type: 'register'; what: RegisterEvent; number: number }
  /** The clock was set between the reading before (`fromS`) and this one (`toS`). */
  | { type: 'clock-step'; number: number; fromS: number; toS: number }
  /** The fog knows higher numbers than this store: it was restored from an old copy. */
  | { type: 'numbers-raised'; to: number; readingsGivenUp: number }
  /** A signed revocation list arrived; the caller checks it. */
  | { type: 'revocations'; list: Uint8Array }
  /** The fog node ended this channel: another program has connected as this meter. */
  | { type: 'superseded' }
  /** No room: of this signed block only the statement is kept; so often since the start. */
  | { type: 'readings-given-up'; first: number; last: number; times: number }
  | { type: 'bad-message'; code: string }

/**
 * `held`: the register went back, showed 0 or rose beyond belief, or power was beyond belief where there
 * is no register, so the last good value is repeated;
 * `reset`, `rollover`, `replaced`: it goes on from another value, the sum continues; `returned`: it
 * is back where it was before a reset; `gap`: power was not integrated over a silence.
 */
export type RegisterEvent = 'held' | 'reset' | 'returned' | 'rollover' | 'replaced' | 'gap'

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
  /** Of these, how many have lost their readings. */
  outboxStatements: number
  refusedBlocks: number
  /** Since the program started. */
  readings: number
  blocks: number
  liveMessages: number
  refusedMeasurements: number
  /** Signed readings given up for want of room; their statements are kept. */
  readingsGivenUp: number
  delivery: Readonly<DeliveryCounters>
  welcomed: boolean
}
