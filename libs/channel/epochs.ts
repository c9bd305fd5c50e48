import { CodedError } from '#errors'
import {
  epochBits,
  type Opened,
  type Opener,
  type RecordPair,
  type RefusedReason,
  type Sealer,
} from '#record'

/** One generation of keys. `number` counts modulo 4, as the record header carries it. */
interface Epoch {
  readonly number: number
  readonly sealer: Sealer
  readonly opener: Opener
  /** The peer certainly has these keys: it has sent something under them (or message_4). */
  confirmed: boolean
  /** Monotonic time (ms) after which records of this epoch are no longer opened. */
  retireAtMs: number
}

/** Result of opening a record: what it said, or why it was refused. */
export type OpenResult = Opened | { readonly refused: RefusedReason | 'unknown-epoch' }

/** Three live generations at most: four would share a header number. */
const MAX_EPOCHS = 3

/**
 * The keys of one session across rekeying. Records are opened under any living epoch and sealed
 * under the newest one the peer has confirmed, so nothing is lost while the two sides switch.
 */
export class Epochs {
  readonly #oldEpochMs: number
  /** Newest first, numbers distinct. */
  #epochs: Epoch[] = []

  constructor(oldEpochMs: number) {
    this.#oldEpochMs = oldEpochMs
  }

  get newest(): Epoch | undefined {
    return this.#epochs[0]
  }

  /** Adds new keys; `confirmed` when the peer is known to have them already. */
  install(number: number, keys: RecordPair, confirmed: boolean, nowMs: number): void {
    const epoch: Epoch = {
      number,
      sealer: keys.sealer,
      opener: keys.opener,
      confirmed: false,
      retireAtMs: Infinity,
    }
    // Whoever makes the next epoch has finished the one before.
    const before = this.#epochs[0]
    if (before !== undefined && before.number !== number) this.#confirm(before, nowMs)
    this.#epochs = [epoch, ...this.#epochs.filter((e) => e.number !== number)].slice(0, MAX_EPOCHS)
    if (confirmed) this.#confirm(epoch, nowMs)
  }

  /** Opens a record under the epoch its header names. */
  open(frame: Uint8Array, nowMs: number): OpenResult {
    const number = epochBits(frame)
    const epoch = this.#epochs.find((e) => e.number === number)
    if (epoch === undefined) return { refused: 'unknown-epoch' }
    if (nowMs >= epoch.retireAtMs) return { refused: 'expired' }
    const opened = epoch.opener.open(frame, nowMs)
    if ('plaintext' in opened && !epoch.confirmed) this.#confirm(epoch, nowMs)
    return opened
  }

  /** Seals under the newest confirmed epoch. Throws `record/exhausted`, `channel/not-open`. */
  seal(payload: Uint8Array, nowMs: number): Uint8Array {
    const confirmed = this.#epochs.find((e) => e.confirmed)
    const newest = this.#epochs[0]
    const epoch = confirmed ?? newest
    if (epoch === undefined || newest === undefined) {
      throw new CodedError('channel/not-open', 'this channel has no session yet')
    }
    try {
      return epoch.sealer.seal(payload, nowMs)
    } catch (error) {
      if (epoch === newest) throw error
      return newest.sealer.seal(payload, nowMs)
    }
  }

  /** True when the newest epoch wants a successor, for what was sent or for what was received. */
  needsRekey(nowMs: number): boolean {
    const newest = this.#epochs[0]
    if (newest === undefined) return false
    return newest.sealer.needsRekey(nowMs) || newest.opener.needsRekey(nowMs)
  }

  /** Failed openings have reached the level worth telling an operator / at which the session must go. */
  get alarm(): boolean {
    return this.#epochs.some((e) => e.opener.alarm)
  }

  get drop(): boolean {
    return this.#epochs.some((e) => e.opener.drop)
  }

  /** Forgets epochs whose time is over. */
  expire(nowMs: number): void {
    if (this.#epochs.some((e) => nowMs >= e.retireAtMs)) {
      this.#epochs = this.#epochs.filter((e) => nowMs < e.retireAtMs)
    }
  }

  clear(): void {
    this.#epochs = []
  }

  #confirm(epoch: Epoch, nowMs: number): void {
    epoch.confirmed = true
    const older = this.#epochs.slice(this.#epochs.indexOf(epoch) + 1)
    for (const old of older) old.retireAtMs = Math.min(old.retireAtMs, nowMs + this.#oldEpochMs)
  }
}
