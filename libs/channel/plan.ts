import type { Random } from '#ports'
import type { Cause } from './attempt.ts'
import type { ChannelLimits } from './types.ts'

/** Share of the rekey age by which a channel may be early, so that a fleet started together spreads. */
const REKEY_SPREAD = 0.1
/** A planned rekey that failed waits this many give-up times (up to twice); the old epoch goes on meanwhile. */
const REKEY_RETRY = 3

/** The handshake of an initiator that will begin by itself: why, when, and until when it may take. */
export class HandshakePlan {
  readonly #limits: ChannelLimits
  readonly #random: Random
  #cause: Cause = 'rekey'
  #atMs = Infinity
  #deadlineMs = Infinity
  #rekeyNotBeforeMs = -Infinity
  #unknownNotBeforeMs = -Infinity

  constructor(limits: ChannelLimits, random: Random) {
    this.#limits = limits
    this.#random = random
  }

  get cause(): Cause {
    return this.#cause
  }

  /** Monotonic ms; Infinity when nothing is planned. */
  get atMs(): number {
    return this.#atMs
  }

  /** Monotonic ms at which a handshake of this plan that begins now has failed. */
  deadlineFrom(nowMs: number): number {
    return Math.min(this.#deadlineMs, nowMs + this.#limits.giveUpMs)
  }

  clear(): void {
    this.#set('rekey', Infinity)
  }

  /** The channel has fresh keys: the next ones when they are old. */
  opened(nowMs: number): void {
    const { rekeyAfterMs } = this.#limits
    this.#set('rekey', nowMs + rekeyAfterMs - rekeyAfterMs * REKEY_SPREAD * this.#fraction())
  }

  /** The keys are used up early: as soon as an earlier failure allows. */
  rekeySoon(nowMs: number): void {
    if (this.#cause !== 'rekey') return
    this.#atMs = Math.min(this.#atMs, Math.max(nowMs, this.#rekeyNotBeforeMs))
  }

  rekeyFailed(nowMs: number): void {
    this.#rekeyNotBeforeMs = nowMs + REKEY_RETRY * this.#limits.giveUpMs * (1 + this.#fraction())
    this.#set('rekey', this.#rekeyNotBeforeMs)
  }

  /** Whether to react to "unknown session" now; reactions are spaced. */
  heedsUnknown(nowMs: number): boolean {
    if (nowMs < this.#unknownNotBeforeMs) return false
    this.#unknownNotBeforeMs = nowMs + this.#limits.unknownSessionMs
    return true
  }

  /** After "unknown session", at a random moment: a restarted node has all its meters asking. */
  again(cause: Cause, nowMs: number, deadlineMs: number): void {
    this.#set(cause, nowMs + this.#fraction() * (this.#limits.unknownSessionMs / 2), deadlineMs)
  }

  #set(cause: Cause, atMs: number, deadlineMs = Infinity): void {
    this.#cause = cause
    this.#atMs = atMs
    this.#deadlineMs = deadlineMs
  }

  /** A random number in [0, 1). */
  #fraction(): number {
    const bytes = this.#random(4)
    return new DataView(bytes.buffer, bytes.byteOffset, 4).getUint32(0) / 2 ** 32
  }
}
