import { equal } from '#bytes'
import type { Credential } from '#credential'
import { errorMessageFor, suite4, type Exporter } from '#edhoc'
import { codeOf, CodedError } from '#errors'
import { deriveRecordPair } from '#record'
import { answerMessage1, answerMessage3, type Acceptor } from './accept.ts'
import { PerKeyLimit, TokenBucket } from './bucket.ts'
import { Epochs } from './epochs.ts'
import { refusalIn } from './failures.ts'
import {
  epochOfIdentifier,
  handshakeFrame,
  parseFrame,
  peekIdentifier,
  responderIdentifier,
  unknownSessionFrame,
} from './frames.ts'
import { HalfOpenTable, type HalfOpen } from './half-open.ts'
import { channelLimits } from './limits.ts'
import { ownCredential } from './peers.ts'
import { SessionTable, type Session } from './sessions.ts'
import { Tally } from './tally.ts'
import type {
  ChannelLimits,
  Responder,
  ResponderCounters,
  ResponderOptions,
  ResponderOutput,
} from './types.ts'

/** A channel may begin a fresh handshake this often; repeated messages do not count. */
const FRESH_HANDSHAKE_MS = 1_000

/** The side that is connected to: a fog node for its meters, the cloud for its fog nodes. */
export function createResponder(options: ResponderOptions): Responder {
  return new ResponderChannels(options)
}

class ResponderChannels implements Responder {
  readonly #options: ResponderOptions
  readonly #limits: ChannelLimits
  readonly #acceptor: Acceptor
  readonly #sessions = new SessionTable()
  readonly #halfOpen: HalfOpenTable
  readonly #bucket: TokenBucket
  readonly #hints: PerKeyLimit
  readonly #refusedHandshakes = new Tally()
  readonly #refusedRecords = new Tally()
  #handshakes = 0
  #limited = 0
  #opened = 0
  #unknown = 0
  #alarms = 0

  constructor(options: ResponderOptions) {
    const limits = channelLimits(options.limits)
    this.#options = options
    this.#limits = limits
    this.#acceptor = {
      deps: options,
      suite: options.suite ?? suite4(options.crypto),
      own: ownCredential(options.own),
      rule: { role: options.peerRole, group: options.group, deviceId: null },
    }
    this.#halfOpen = new HalfOpenTable(limits.halfOpen)
    this.#bucket = new TokenBucket(limits.burst, limits.perSecond, this.#now())
    this.#hints = new PerKeyLimit(limits.retransmitMs, limits.unknownChannels)
  }

  receive(cid: string, bytes: Uint8Array): ResponderOutput[] {
    const frame = parseFrame(bytes)
    switch (frame.kind) {
      case 'record':
        return this.#record(cid, bytes)
      case 'message1':
        return this.#message1(cid, frame.body)
      case 'handshake':
        return this.#message3(cid, frame.id, frame.body)
      case 'error':
        return this.#error(cid, frame.id, frame.body)
      default:
        this.#refusedRecords.add('malformed')
        return []
    }
  }

  send(cid: string, payload: Uint8Array): Uint8Array | null {
    const session = this.#sessions.get(cid)
    if (session === undefined) return null
    try {
      return session.epochs.seal(payload, this.#now())
    } catch {
      return null // used up: the initiator's rekey, or its next connection, brings new keys
    }
  }

  tick(): ResponderOutput[] {
    const now = this.#now()
    this.#halfOpen.expire(now - this.#limits.giveUpMs)
    const over: Session[] = []
    for (const session of this.#sessions.all()) {
      session.epochs.expire(now)
      if (now - session.handshakeAtMs >= this.#limits.refuseAfterMs) over.push(session)
    }
    return over.flatMap((session) => this.#end(session, 'channel/expired'))
  }

  drop(cid: string, code: string): ResponderOutput[] {
    const session = this.#sessions.get(cid)
    return session === undefined ? [] : this.#end(session, code)
  }

  dropDevice(deviceId: string, code: string): ResponderOutput[] {
    return this.channelsOf(deviceId).flatMap((cid) => this.drop(cid, code))
  }

  recheck(): ResponderOutput[] {
    const outputs: ResponderOutput[] = []
    for (const session of this.#sessions.all()) {
      try {
        this.#options.trust.check(session.peer.encoded)
      } catch (error) {
        outputs.push(...this.#end(session, codeOf(error)))
      }
    }
    return outputs
  }

  peerOf(cid: string): Credential | null {
    return this.#sessions.get(cid)?.peer ?? null
  }

  channelsOf(deviceId: string): string[] {
    return this.#sessions.channelsOf(deviceId)
  }

  counters(): ResponderCounters {
    return {
      sessions: this.#sessions.size,
      halfOpen: this.#halfOpen.size,
      handshakes: this.#handshakes,
      handshakesRefused: this.#refusedHandshakes.toRecord(),
      handshakesLimited: this.#limited,
      opened: this.#opened,
      refused: this.#refusedRecords.toRecord(),
      unknownSession: this.#unknown,
      alarms: this.#alarms,
    }
  }

  #now(): number {
    return this.#options.clock.monotonic()
  }

  #record(cid: string, bytes: Uint8Array): ResponderOutput[] {
    const session = this.#sessions.get(cid)
    if (session === undefined) return this.#unknownSession(cid)
    const opened = session.epochs.open(bytes, this.#now())
    if ('plaintext' in opened) {
      this.#opened += 1
      if (session.finished !== null && session.epochs.newest?.confirmed) session.finished = null
      return [{ type: 'message', cid, peer: session.peer, payload: opened.plaintext }]
    }
    this.#refusedRecords.add(opened.refused)
    return this.#refusedRecord(session, opened.refused)
  }

  #refusedRecord(session: Session, reason: string): ResponderOutput[] {
    if (session.epochs.drop) return this.#end(session, 'channel/too-many-failures')
    if (session.epochs.alarm && !session.alarmed) {
      session.alarmed = true
      this.#alarms += 1
    }
    // Keys we do not have: the same news for the initiator as a session we do not have.
    return reason === 'unknown-epoch' ? this.#unknownSession(session.cid) : []
  }

  #message1(cid: string, message1: Uint8Array): ResponderOutput[] {
    const session = this.#sessions.get(cid)
    if (session?.finished && equal(session.finished.message1, message1)) return []
    const known = this.#halfOpen.byMessage1(cid, message1)
    if (known !== undefined) return [{ type: 'frame', cid, bytes: known.frame2 }]
    const cI = peekIdentifier(message1)
    if (cI === null) return this.#ignore('channel/malformed')
    const epoch = epochOfIdentifier(cI)
    if (session !== undefined && !mayFollow(session, epoch)) return this.#ignore('channel/stale')
    if (!this.#mayBegin(cid, session)) {
      this.#limited += 1
      return []
    }
    try {
      const cR = this.#freeIdentifier(cid, cI, session)
      const offer = { cid, cI, cR, epoch, message1, nowMs: this.#now() }
      const half = answerMessage1(this.#acceptor, offer)
      this.#halfOpen.add(half)
      return [{ type: 'frame', cid, bytes: half.frame2 }]
    } catch (error) {
      return this.#refuse(cid, cI, error)
    }
  }

  #message3(cid: string, cR: number, message3: Uint8Array): ResponderOutput[] {
    const session = this.#sessions.get(cid)
    const done = session?.finished
    if (done && done.cR === cR && equal(done.message3, message3)) {
      return [{ type: 'frame', cid, bytes: done.frame4 }]
    }
    const half = this.#halfOpen.byIdentifier(cid, cR)
    if (half === undefined) return session === undefined ? this.#unknownSession(cid) : []
    this.#halfOpen.delete(half)
    try {
      const accepted = answerMessage3(this.#acceptor, half, message3, (peer) => {
        requireSameDevice(session, peer)
      })
      const { peer, exporter, frame4 } = accepted
      const finished = { cR, message1: half.message1, message3: message3.slice(), frame4 }
      const opened = this.#install(half, peer, exporter, finished)
      return [{ type: 'frame', cid, bytes: frame4 }, ...opened]
    } catch (error) {
      const closed = { type: 'closed', cid, peer: null, code: codeOf(error) } as const
      return [...this.#refuse(cid, half.cI, error), closed]
    }
  }

  #error(cid: string, cR: number, body: Uint8Array): ResponderOutput[] {
    const half = this.#halfOpen.byIdentifier(cid, cR)
    const code = refusalIn(body)?.code
    if (half === undefined || code === undefined) return []
    this.#halfOpen.delete(half)
    this.#refusedHandshakes.add(code)
    return [{ type: 'closed', cid, peer: null, code }]
  }

  #install(
    half: HalfOpen,
    peer: Credential,
    exporter: Exporter,
    finished: NonNullable<Session['finished']>,
  ): ResponderOutput[] {
    const { cid, epoch } = half
    const now = this.#now()
    const limits = this.#limits
    const where = { role: 'responder', channelId: cid, epoch, monoMs: now, limits } as const
    const keys = deriveRecordPair(exporter, this.#options.crypto, where)
    const before = this.#sessions.get(cid)
    const session = before ?? {
      cid,
      peer,
      epochs: new Epochs(this.#limits.oldEpochMs),
      finished,
      handshakeAtMs: now,
      alarmed: false,
    }
    session.peer = peer
    session.finished = finished
    session.handshakeAtMs = now
    session.epochs.install(epoch, keys, false, now)
    this.#sessions.add(session)
    this.#handshakes += 1
    const opened = { type: 'open', cid, peer, epoch, rekey: before !== undefined } as const
    return [opened, ...this.#crowdedOut(peer.deviceId)]
  }

  #crowdedOut(deviceId: string): ResponderOutput[] {
    const channels = this.channelsOf(deviceId)
    const surplus = Math.max(0, channels.length - this.#limits.channelsPerDevice)
    return channels.slice(0, surplus).flatMap((cid) => this.drop(cid, 'channel/superseded'))
  }

  /**
   * Signing an answer costs about a hundred times an opened record, so fresh handshakes are
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
    return responderIdentifier(this.#options.random(1)[0] ?? 0, taken)
  }

  #unknownSession(cid: string): ResponderOutput[] {
    if (!this.#hints.take(cid, this.#now())) return []
    this.#unknown += 1
    return [{ type: 'frame', cid, bytes: unknownSessionFrame() }]
  }

  #ignore(code: string): ResponderOutput[] {
    this.#refusedHandshakes.add(code)
    return []
  }

  #refuse(cid: string, cI: number, error: unknown): ResponderOutput[] {
    this.#refusedHandshakes.add(codeOf(error))
    const answer = errorMessageFor(error, [this.#acceptor.suite.id])
    return [{ type: 'frame', cid, bytes: handshakeFrame(cI, answer) }]
  }

  #end(session: Session, code: string): ResponderOutput[] {
    this.#sessions.delete(session)
    this.#halfOpen.deleteChannel(session.cid)
    session.epochs.clear()
    return [{ type: 'closed', cid: session.cid, peer: session.peer, code }]
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
