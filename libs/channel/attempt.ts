import { equal } from '#bytes'
import type { Credential } from '#credential'
import {
  abandon,
  errorMessageFor,
  initiatorMessage2,
  initiatorMessage4,
  startInitiator,
  type Exporter,
  type InitiatorWait2,
  type InitiatorWait4,
  type OwnCredential,
  type Suite,
} from '#edhoc'
import { codeOf, CodedError } from '#errors'
import { describe, refusalIn } from './failures.ts'
import { handshakeFrame, message1Frame, type Frame } from './frames.ts'
import { peerResolver, type PeerRule } from './peers.ts'
import type { ChannelDependencies, ChannelLimits } from './types.ts'

/** Why a handshake runs: nothing before it, fresh keys for a living session, or the peer forgot us. */
export type Cause = 'first' | 'rekey' | 'unknown'

/** What one frame did to a handshake. */
export type Progress =
  | { readonly type: 'ignored' }
  | { readonly type: 'frame'; readonly bytes: Uint8Array }
  | { readonly type: 'done'; readonly peer: Credential; readonly exporter: Exporter }
  | {
      readonly type: 'failed'
      readonly code: string
      /** What we found wrong, in words, or the code the peer gave. */
      readonly detail: string | null
      /** An error message to send, once the peer can be addressed. */
      readonly answer: Uint8Array | null
    }

export interface AttemptOptions {
  readonly deps: ChannelDependencies
  readonly limits: ChannelLimits
  readonly suite: Suite
  readonly own: OwnCredential
  readonly rule: PeerRule
  readonly cause: Cause
  readonly cI: number
  /** Number (modulo 4) of the epoch this handshake is for. */
  readonly epoch: number
  /** Monotonic ms at which the handshake has failed. */
  readonly deadlineMs: number
}

type Step =
  | { readonly wait: 'message_2'; readonly state: InitiatorWait2 }
  | {
      readonly wait: 'message_4'
      readonly state: InitiatorWait4
      readonly peer: Credential
      readonly cR: number
      /** message_2 as handled, to know its duplicates. */
      readonly message2: Uint8Array
    }

const IGNORED: Progress = { type: 'ignored' }

/**
 * One run of the handshake, seen from the initiator (RFC 9528 §2, identifiers as §3.4.1):
 *
 *     | ------ true, message_1 -----------------> |
 *     | <----- C_I, message_2 ------------------- |
 *     | ------ C_R, message_3 ------------------> |
 *     | <----- C_I, message_4 ------------------- |
 *
 * What has been sent is kept and repeated byte for byte; a new run gets new keys.
 */
export class Attempt {
  readonly epoch: number
  readonly deadlineMs: number
  cause: Cause
  resendAtMs: number
  #frame: Uint8Array
  #step: Step
  readonly #options: AttemptOptions

  constructor(options: AttemptOptions) {
    const { deps, suite, own, cI } = options
    const { state, message1 } = startInitiator({
      crypto: deps.crypto,
      suite,
      own,
      cI: Uint8Array.of(cI),
      ephemeralSecret: deps.random(32),
    })
    this.#options = options
    this.epoch = options.epoch
    this.deadlineMs = options.deadlineMs
    this.cause = options.cause
    this.#frame = message1Frame(message1)
    this.#step = { wait: 'message_2', state }
    this.resendAtMs = this.#resendTime()
  }

  get waitsFor(): 'message_2' | 'message_4' {
    return this.#step.wait
  }

  /** The message to send now: the first time, and again whenever `resendAtMs` has passed. */
  frame(): Uint8Array {
    this.resendAtMs = this.#resendTime()
    return this.#frame
  }

  receive(frame: Frame & { kind: 'handshake' | 'error' }): Progress {
    // An answer to an earlier attempt, or a late duplicate: nothing to do with this one.
    if (frame.id !== this.#options.cI) return IGNORED
    if (frame.kind === 'error') {
      const refusal = refusalIn(frame.body)
      return refusal === null ? IGNORED : { type: 'failed', ...refusal, answer: null }
    }
    const step = this.#step
    if (step.wait === 'message_2') return this.#message2(step.state, frame.body)
    if (equal(frame.body, step.message2)) return IGNORED
    return this.#message4(step, frame.body)
  }

  /** Ends a run that timed out or was overtaken; wipes its secrets. */
  abandon(): void {
    abandon(this.#step.state)
  }

  #message2(state: InitiatorWait2, message2: Uint8Array): Progress {
    const { deps, rule } = this.#options
    let peer: Credential | null = null
    const resolve = peerResolver(deps.trust, rule, (found) => (peer = found))
    try {
      const result = initiatorMessage2(state, message2, resolve)
      if (peer === null) throw new CodedError('channel/credential-type', 'no credential was judged')
      const cR = result.cR[0] ?? 0
      this.#step = { wait: 'message_4', state: result.state, peer, cR, message2: message2.slice() }
      this.#frame = handshakeFrame(cR, result.message3)
      return { type: 'frame', bytes: this.frame() }
    } catch (error) {
      // Without C_R, which was inside, an error message could not be addressed (RFC 9528 §3.4.1).
      return { type: 'failed', code: codeOf(error), detail: describe(error), answer: null }
    }
  }

  #message4(step: Step & { wait: 'message_4' }, message4: Uint8Array): Progress {
    try {
      const { exporter } = initiatorMessage4(step.state, message4)
      return { type: 'done', peer: step.peer, exporter }
    } catch (error) {
      const answer = errorMessageFor(error, [this.#options.suite.id])
      const frame = handshakeFrame(step.cR, answer)
      return { type: 'failed', code: codeOf(error), detail: null, answer: frame }
    }
  }

  #resendTime(): number {
    return this.#options.deps.clock.monotonic() + this.#options.limits.retransmitMs
  }
}
