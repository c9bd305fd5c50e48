import type { Credential } from '#credential'
import { suite4 } from '#edhoc'
import { codeOf } from '#errors'
import { deriveRecordPair } from '#record'
import { PerKeyLimit } from './bucket.ts'
import { Epochs } from './epochs.ts'
import { parseFrame, unknownSessionFrame } from './frames.ts'
import { Handshakes, type Reply } from './handshakes.ts'
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

/** The side that is connected to: a fog node for its meters, the cloud for its fog nodes. */
export function createResponder(options: ResponderOptions): Responder {
  return new ResponderChannels(options)
}

class ResponderChannels implements Responder {
  readonly #options: ResponderOptions
  readonly #limits: ChannelLimits
  readonly #sessions = new SessionTable()
  readonly #handshakes: Handshakes
  readonly #hints: PerKeyLimit
  readonly #refusedRecords = new Tally()
  #recheckedMs: number
  readonly #counts = { handshakes: 0, opened: 0, unknownSession: 0, alarms: 0 }

  constructor(options: ResponderOptions) {
    const limits = channelLimits(options.limits)
    const acceptor = {
      deps: options,
      suite: options.suite ?? suite4(options.crypto),
      own: ownCredential(options.own),
      rule: { role: options.peerRole, group: options.group, deviceId: null },
    }
    this.#options = options
    this.#limits = limits
    this.#recheckedMs = options.clock.monotonic()
    this.#handshakes = new Handshakes(acceptor, limits)
    this.#hints = new PerKeyLimit(limits.retransmitMs, limits.unknownChannels)
  }

  receive(cid: string, bytes: Uint8Array): ResponderOutput[] {
    const session = this.#sessions.get(cid)
    const frame = parseFrame(bytes)
    switch (frame.kind) {
      case 'record':
        return session === undefined ? this.#unknownSession(cid) : this.#record(session, bytes)
      case 'message1':
        return this.#act(cid, session, this.#handshakes.message1(cid, frame.body, session))
      case 'handshake':
        return this.#act(
          cid,
          session,
          this.#handshakes.message3(cid, frame.id, frame.body, session),
        )
      case 'error':
        return this.#act(cid, session, this.#handshakes.error(cid, frame.id, frame.body))
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
    this.#handshakes.expire(now - this.#limits.giveUpMs)
    const over: Session[] = []
    for (const session of this.#sessions.all()) {
      session.epochs.expire(now)
      if (now - session.handshakeAtMs >= this.#limits.refuseAfterMs) over.push(session)
    }
    const ended = over.flatMap((session) => this.#end(session, 'channel/expired'))
    if (now - this.#recheckedMs < this.#limits.recheckMs) return ended
    return [...ended, ...this.recheck()]
  }

  drop(cid: string, code: string): ResponderOutput[] {
    const session = this.#sessions.get(cid)
    return session === undefined ? [] : this.#end(session, code)
  }

  dropDevice(deviceId: string, code: string): ResponderOutput[] {
    return this.channelsOf(deviceId).flatMap((cid) => this.drop(cid, code))
  }

  recheck(): ResponderOutput[] {
    this.#recheckedMs = this.#now()
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
      ...this.#counts,
      sessions: this.#sessions.size,
      halfOpen: this.#handshakes.halfOpen,
      handshakesRefused: this.#handshakes.refused(),
      handshakesLimited: this.#handshakes.limited,
      refused: this.#refusedRecords.toRecord(),
    }
  }

  #now(): number {
    return this.#options.clock.monotonic()
  }

  #record(session: Session, bytes: Uint8Array): ResponderOutput[] {
    const { cid, peer, epochs } = session
    const opened = epochs.open(bytes, this.#now())
    if ('plaintext' in opened) {
      this.#counts.opened += 1
      if (session.finished !== null && epochs.newest?.confirmed) session.finished = null
      return [{ type: 'message', cid, peer, payload: opened.plaintext }]
    }
    this.#refusedRecords.add(opened.refused)
    if (epochs.drop) return this.#end(session, 'channel/too-many-failures')
    if (epochs.alarm && !session.alarmed) {
      session.alarmed = true
      this.#counts.alarms += 1
    }
    // Keys we do not have: the same news for the initiator as a session we do not have.
    return opened.refused === 'unknown-epoch' ? this.#unknownSession(cid) : []
  }

  #act(cid: string, session: Session | undefined, reply: Reply): ResponderOutput[] {
    switch (reply.type) {
      case 'ignored':
        return []
      case 'unknown':
        return this.#unknownSession(cid)
      case 'frame':
        return [{ type: 'frame', cid, bytes: reply.bytes }]
      case 'accepted':
        return this.#accepted(cid, session, reply)
      default: {
        const answer: ResponderOutput[] =
          reply.bytes === null ? [] : [{ type: 'frame', cid, bytes: reply.bytes }]
        // A rekeying that failed leaves the session as it is: nothing has closed.
        if (session !== undefined) return answer
        const { code, detail } = reply
        return [...answer, { type: 'closed', cid, peer: null, code, detail }]
      }
    }
  }

  #accepted(
    cid: string,
    before: Session | undefined,
    { peer, epoch, exporter, finished }: Reply & { type: 'accepted' },
  ): ResponderOutput[] {
    const now = this.#now()
    const limits = this.#limits
    const where = { role: 'responder', channelId: cid, epoch, monoMs: now, limits } as const
    const keys = deriveRecordPair(exporter, this.#options.crypto, where)
    exporter.wipe() // nothing else is ever exported, and rekeying makes a new handshake
    const session = before ?? this.#newSession(cid, peer)
    session.epochs.install(epoch, keys, false, now)
    session.peer = peer
    session.finished = finished
    session.handshakeAtMs = now
    this.#counts.handshakes += 1
    return [
      { type: 'frame', cid, bytes: finished.frame4 },
      { type: 'open', cid, peer, epoch, rekey: before !== undefined },
      ...this.#crowdedOut(peer.deviceId),
    ]
  }

  #newSession(cid: string, peer: Credential): Session {
    const epochs = new Epochs(this.#limits.oldEpochMs)
    const session = { cid, peer, epochs, finished: null, handshakeAtMs: 0, alarmed: false }
    this.#sessions.add(session)
    return session
  }

  #crowdedOut(deviceId: string): ResponderOutput[] {
    const channels = this.channelsOf(deviceId)
    const surplus = Math.max(0, channels.length - this.#limits.channelsPerDevice)
    return channels.slice(0, surplus).flatMap((cid) => this.drop(cid, 'channel/superseded'))
  }

  #unknownSession(cid: string): ResponderOutput[] {
    if (!this.#hints.take(cid, this.#now())) return []
    this.#counts.unknownSession += 1
    return [{ type: 'frame', cid, bytes: unknownSessionFrame() }]
  }

  #end(session: Session, code: string): ResponderOutput[] {
    this.#sessions.delete(session)
    this.#handshakes.forget(session.cid)
    session.epochs.clear()
    return [{ type: 'closed', cid: session.cid, peer: session.peer, code, detail: null }]
  }
}
