import type { Credential } from '#credential'
import { suite4, type Exporter, type OwnCredential, type Suite } from '#edhoc'
import { codeOf, CodedError } from '#errors'
import { deriveRecordPair } from '#record'
import { Attempt, type Cause } from './attempt.ts'
import { Epochs } from './epochs.ts'
import { initiatorIdentifier, parseFrame, type Frame } from './frames.ts'
import { channelLimits } from './limits.ts'
import { isPermanent, ownCredential, type PeerRule } from './peers.ts'
import { HandshakePlan } from './plan.ts'
import type {
  ChannelLimits,
  Initiator,
  InitiatorCounters,
  InitiatorOptions,
  InitiatorState,
  Output,
} from './types.ts'

/** The side that connects: a meter towards its fog node, a fog node towards the cloud. */
export function createInitiator(options: InitiatorOptions): Initiator {
  return new InitiatorChannel(options)
}

class InitiatorChannel implements Initiator {
  readonly channelId: string
  readonly #options: InitiatorOptions
  readonly #limits: ChannelLimits
  readonly #suite: Suite
  readonly #own: OwnCredential
  readonly #rule: PeerRule
  readonly #epochs: Epochs
  readonly #plan: HandshakePlan
  readonly #counters = { handshakes: 0, sealed: 0, opened: 0, refused: 0, unknownSession: 0 }
  #state: InitiatorState = 'idle'
  #peer: Credential | null = null
  #attempt: Attempt | null = null
  /** Number (modulo 4) of the newest epoch. */
  #epoch = 3
  #identifier: number
  /** Why sealing no longer works; the next tick closes the channel. */
  #broken: string | null = null

  constructor(options: InitiatorOptions) {
    this.#options = options
    this.channelId = options.channelId
    this.#limits = channelLimits(options.limits)
    this.#suite = options.suite ?? suite4(options.crypto)
    this.#own = ownCredential(options.own)
    const { peerRole, group, node } = options
    this.#rule = { role: peerRole, group: group ?? null, deviceId: node }
    this.#epochs = new Epochs(this.#limits.oldEpochMs)
    this.#plan = new HandshakePlan(this.#limits, options.random)
    this.#identifier = options.random(1)[0] ?? 0
  }

  get state(): InitiatorState {
    return this.#state
  }

  get peer(): Credential | null {
    return this.#peer
  }

  get nextTickAt(): number {
    if (!this.#alive()) return Infinity
    if (this.#broken !== null) return this.#now()
    const attempt = this.#attempt
    return attempt === null ? this.#plan.atMs : Math.min(attempt.resendAtMs, attempt.deadlineMs)
  }

  start(): Output[] {
    if (this.#state !== 'idle') return []
    this.#state = 'handshake'
    return this.#begin('first', this.#now() + this.#limits.giveUpMs)
  }

  receive(bytes: Uint8Array): Output[] {
    if (!this.#alive()) return []
    const frame = parseFrame(bytes)
    switch (frame.kind) {
      case 'record':
        return this.#record(bytes)
      case 'handshake':
      case 'error':
        return this.#handshake(frame)
      case 'unknown-session':
        return this.#unknownSession()
      default:
        this.#counters.refused += 1
        return []
    }
  }

  tick(): Output[] {
    if (!this.#alive()) return []
    if (this.#broken !== null) return this.#finish(this.#broken, true)
    const now = this.#now()
    this.#epochs.expire(now)
    const attempt = this.#attempt
    if (attempt === null) {
      if (now < this.#plan.atMs) return []
      return this.#begin(this.#plan.cause, this.#plan.deadlineFrom(now))
    }
    if (now >= attempt.deadlineMs) return this.#failed('channel/timeout', null, null)
    return now < attempt.resendAtMs ? [] : [{ type: 'frame', bytes: attempt.frame() }]
  }

  send(payload: Uint8Array): Uint8Array {
    if (this.#state !== 'open') {
      throw new CodedError('channel/not-open', 'this channel has no session yet')
    }
    const now = this.#now()
    try {
      const frame = this.#epochs.seal(payload, now)
      this.#counters.sealed += 1
      if (this.#epochs.needsRekey(now)) this.#planRekey(now)
      return frame
    } catch (error) {
      this.#broken = codeOf(error)
      throw error
    }
  }

  close(): void {
    this.#state = 'closed'
    this.#abandonAttempt()
    this.#plan.clear()
    this.#epochs.clear()
  }

  counters(): InitiatorCounters {
    return { ...this.#counters }
  }

  #alive(): boolean {
    return this.#state === 'handshake' || this.#state === 'open'
  }

  #now(): number {
    return this.#options.clock.monotonic()
  }

  #begin(cause: Cause, deadlineMs: number): Output[] {
    const epoch = (this.#epoch + 1) & 3
    this.#identifier += 1
    this.#plan.clear()
    this.#attempt = new Attempt({
      deps: this.#options,
      limits: this.#limits,
      suite: this.#suite,
      own: this.#own,
      rule: this.#rule,
      cause,
      cI: initiatorIdentifier(epoch, this.#identifier),
      epoch,
      deadlineMs,
    })
    return [{ type: 'frame', bytes: this.#attempt.frame() }]
  }

  #handshake(frame: Frame & { kind: 'handshake' | 'error' }): Output[] {
    const attempt = this.#attempt
    const progress = attempt?.receive(frame)
    switch (progress?.type) {
      case 'frame':
        return [progress]
      case 'done':
        return this.#opened(attempt as Attempt, progress.peer, progress.exporter)
      case 'failed':
        return this.#failed(progress.code, progress.detail, progress.answer)
      default:
        return []
    }
  }

  #opened(attempt: Attempt, peer: Credential, exporter: Exporter): Output[] {
    const now = this.#now()
    const { channelId } = this
    const { epoch, cause } = attempt
    const limits = this.#limits
    const where = { role: 'initiator', channelId, epoch, monoMs: now, limits } as const
    const keys = deriveRecordPair(exporter, this.#options.crypto, where)
    exporter.wipe() // nothing else is ever exported, and rekeying makes a new handshake
    this.#epochs.install(epoch, keys, true, now)
    this.#epoch = epoch
    this.#attempt = null
    this.#peer = peer
    this.#state = 'open'
    this.#counters.handshakes += 1
    this.#plan.opened(now)
    return [{ type: 'open', peer, epoch, rekey: cause === 'rekey' }]
  }

  #record(frame: Uint8Array): Output[] {
    if (this.#state !== 'open') return []
    const now = this.#now()
    const opened = this.#epochs.open(frame, now)
    if ('plaintext' in opened) {
      this.#counters.opened += 1
      if (this.#epochs.needsRekey(now)) this.#planRekey(now)
      return [{ type: 'message', payload: opened.plaintext }]
    }
    this.#counters.refused += 1
    return this.#epochs.drop ? this.#finish('channel/too-many-failures', true) : []
  }

  /**
   * Anyone on the path can write this hint, so it never costs us the session: we shake hands again
   * beside it, after a random wait (a restarted node has all its meters asking), and seldom.
   */
  #unknownSession(): Output[] {
    const now = this.#now()
    const attempt = this.#attempt
    if (this.#state !== 'open' && attempt?.waitsFor !== 'message_4') return []
    if (!this.#plan.heedsUnknown(now)) return []
    this.#counters.unknownSession += 1
    const first = this.#state !== 'open'
    if (attempt?.waitsFor === 'message_2') {
      attempt.cause = 'unknown'
      return []
    }
    this.#abandonAttempt()
    if (first) this.#plan.again('first', now, attempt?.deadlineMs ?? Infinity)
    else this.#plan.again('unknown', now, Infinity)
    return []
  }

  /** A planned rekey that failed leaves the living session alone, unless trying again cannot help. */
  #failed(code: string, detail: string | null, answer: Uint8Array | null): Output[] {
    const frames: Output[] = answer === null ? [] : [{ type: 'frame', bytes: answer }]
    const permanent = isPermanent(code)
    if (this.#attempt?.cause !== 'rekey' || permanent) {
      return [...frames, ...this.#finish(code, !permanent, detail)]
    }
    this.#abandonAttempt()
    this.#plan.rekeyFailed(this.#now())
    return frames
  }

  #finish(code: string, retry: boolean, detail: string | null = null): Output[] {
    this.close()
    return [{ type: 'closed', code, retry, detail }]
  }

  #abandonAttempt(): void {
    this.#attempt?.abandon()
    this.#attempt = null
  }

  #planRekey(now: number): void {
    if (this.#attempt === null) this.#plan.rekeySoon(now)
  }
}
