import { equal } from '#bytes'
import type { Credential } from '#credential'
import { errorMessageFor, type Exporter } from '#edhoc'
import { codeOf, CodedError } from '#errors'
import { answerMessage1, answerMessage3, type Acceptor } from './accept.ts'
import { TokenBucket } from './bucket.ts'
import { describe, refusalIn } from './failures.ts'
import { epochOfIdentifier, handshakeFrame, peekIdentifier, responderIdentifier } from './frames.ts'
import { HalfOpenTable, type HalfOpen } from './half-open.ts'
import type { Finished, Session } from './sessions.ts'
import { Tally } from './tally.ts'
import type { ChannelLimits } from './types.ts'

/** A channel may begin a fresh handshake this often; repeated messages do not count. */
const FRESH_HANDSHAKE_MS = 1_000

/** What a handshake message leads to. */
export type Reply =
  | { readonly type: 'ignored' }
  /** A record's keys, or a handshake, that nobody here remembers. */
  | { readonly type: 'unknown' }
  | { readonly type: 'frame'; readonly bytes: Uint8Array }
  /** The peer has proved who it is; `finished.frame4` gives it its keys. */
  | {
      readonly type: 'accepted'
      readonly peer: Credential
      readonly epoch: number
      readonly exporter: Exporter
      readonly finished: Finished
    }
  /** Over without a result; `bytes` tells the peer, if it was not the peer who said so. */
  | {
      readonly type: 'failed'
      readonly code: string
      readonly detail: string | null
      readonly bytes: Uint8Array | null
    }

const IGNORED: Reply = { type: 'ignored' }
const UNKNOWN: Reply = { type: 'unknown' }

/** The responder's handshakes of all channels, up to the moment a session comes out of one. */
export class Handshakes {
  readonly #acceptor: Acceptor
  readonly #halfOpen: HalfOpenTable
  readonly #bucket: TokenBucket
  readonly #refused = new Tally()
  #limited = 0

  constructor(acceptor: Acceptor, limits: ChannelLimits) {
    this.#acceptor = acceptor
    this.#halfOpen = new HalfOpenTable(limits.halfOpen)
    this.#bucket = new TokenBucket(limits.burst, limits.perSecond, this.#now())
  }

  get halfOpen(): number {
    return this.#halfOpen.size
  }

  get limited(): number {
    return this.#limited
  }

  refused(): Record<string, number> {
    return this.#refused.toRecord()
  }

  /** `session` is what the channel has so far. The same for the methods below. */
  message1(cid: string, message1: Uint8Array, session: Session | undefined): Reply {
    if (session?.finished && equal(session.finished.message1, message1)) return IGNORED
    const known = this.#halfOpen.byMessage1(cid, message1)
    if (known !== undefined) return { type: 'frame', bytes: known.frame2 }
    const cI = peekIdentifier(message1)
    if (cI === null) return this.#ignored('channel/malformed')
    const epoch = epochOfIdentifier(cI)
    if (session !== undefined && !mayFollow(session, epoch)) return this.#ignored('channel/stale')
    if (!this.#mayBegin(cid, session)) {
      this.#limited += 1
      return IGNORED
    }
    try {
      const cR = this.#freeIdentifier(cid, cI, session)
      const offer = { cid, cI, cR, epoch, message1, nowMs: this.#now() }
      const half = answerMessage1(this.#acceptor, offer)
      this.#halfOpen.add(half)
      return { type: 'frame', bytes: half.frame2 }
    } catch (error) {
      return this.#failed(cI, error)
    }
  }

  message3(cid: string, cR: number, message3: Uint8Array, session: Session | undefined): Reply {
    const done = session?.finished
    if (done && done.cR === cR && equal(done.message3, message3)) {
      return { type: 'frame', bytes: done.frame4 }
    }
    const half = this.#halfOpen.byIdentifier(cid, cR)
    if (half === undefined) return session === undefined ? UNKNOWN : IGNORED
    this.#halfOpen.delete(half)
    try {
      return this.#accept(half, message3, session)
    } catch (error) {
      return this.#failed(half.cI, error)
    }
  }

  /** An EDHOC error from the initiator ends the handshake it belongs to. */
  error(cid: string, cR: number, body: Uint8Array): Reply {
    const half = this.#halfOpen.byIdentifier(cid, cR)
    const refusal = refusalIn(body)
    if (half === undefined || refusal === null) return IGNORED
    this.#halfOpen.delete(half)
    this.#refused.add(refusal.code)
    return { type: 'failed', ...refusal, bytes: null }
  }

  /** Forgets handshakes begun before `beforeMs`. */
  expire(beforeMs: number): void {
    this.#halfOpen.expire(beforeMs)
  }

  forget(cid: string): void {
    this.#halfOpen.deleteChannel(cid)
  }

  #now(): number {
    return this.#acceptor.deps.clock.monotonic()
  }

  #accept(half: HalfOpen, message3: Uint8Array, session: Session | undefined): Reply {
    const { peer, exporter, frame4 } = answerMessage3(this.#acceptor, half, message3, (found) => {
      requireSameDevice(session, found)
    })
    const { cR, epoch, message1 } = half
    const finished = { cR, message1, message3: message3.slice(), frame4 }
    return { type: 'accepted', peer, epoch, exporter, finished }
  }

  /**
   * Signing an answer costs many times what opening a record does, so fresh handshakes are
   * rationed. A channel with a session pays from its own allowance: a flood cannot stop its rekey.
   */
  #mayBegin(cid: string, session: Session | undefined): boolean {
    const now = this.#now()
    const recent = now - FRESH_HANDSHAKE_MS
    if (this.#halfOpen.of(cid).some((half) => half.startedAtMs > recent)) return false
    if (session !== undefined) return session.handshakeAtMs <= recent
    return this.#bucket.take(now)
  }

  #freeIdentifier(cid: string, cI: number, session: Session | undefined): number {
    const taken = [cI, ...this.#halfOpen.of(cid).map((half) => half.cR)]
    if (session?.finished) taken.push(session.finished.cR)
    return responderIdentifier(this.#acceptor.deps.random(1)[0] ?? 0, taken)
  }

  #ignored(code: string): Reply {
    this.#refused.add(code)
    return IGNORED
  }

  #failed(cI: number, error: unknown): Reply {
    const code = codeOf(error)
    this.#refused.add(code)
    const answer = errorMessageFor(error, [this.#acceptor.suite.id])
    return { type: 'failed', code, detail: describe(error), bytes: handshakeFrame(cI, answer) }
  }
}

/**
 * The next handshake of a living session makes the next epoch; or the newest one again, when the
 * initiator never got message_4. Anything else is a replay of an earlier handshake.
 */
function mayFollow(session: Session, epoch: number): boolean {
  const newest = session.epochs.newest
  if (newest === undefined) return true
  return epoch === ((newest.number + 1) & 3) || (epoch === newest.number && !newest.confirmed)
}

/** A channel stays with the device that opened it; only its keys, and its credential, may be renewed. */
function requireSameDevice(session: Session | undefined, peer: Credential): void {
  if (session === undefined || session.peer.deviceId === peer.deviceId) return
  throw new CodedError('channel/other-device', 'this channel belongs to another device')
}
