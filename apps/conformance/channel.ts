import { equal, toHex } from '#bytes'
import {
  epochOfIdentifier,
  handshakeFrame,
  parseFrame,
  peekIdentifier,
  responderIdentifier,
} from '#channel'
import { requireRole, type Credential, type Trust } from '#credential'
import type { Crypto } from '#crypto'
import {
  errorMessageFor,
  kcwtFrom,
  responderMessage1,
  responderMessage3,
  suite4,
  type Exporter,
  type OwnCredential,
  type ResolvePeer,
  type ResponderWait3,
} from '#edhoc'
import { codeOf, CodedError } from '#errors'
import type { Random } from '#ports'
import { counterOf, epochBits } from '#record'
import type { HandshakeJudge, Stage3 } from './judge-handshake.ts'
import { halfKeys, openRecord, sealRecord, type HalfKeys } from './records.ts'
import type { Recording } from './recording.ts'
import type { Verdicts } from './verdicts.ts'

/** What the node does differently from a good one, changed by the acts while it runs. */
export interface Script {
  /** Whom message_2 presents; the node itself unless an act says otherwise. */
  own: OwnCredential
  message2: 'answer' | 'withhold' | 'twice'
  message4: 'answer' | 'withhold' | 'twice' | 'wrong'
  welcome: 'answer' | 'withhold'
  receipts: 'send' | 'withhold'
}

export interface ChannelContext {
  readonly crypto: Crypto
  readonly random: Random
  readonly trust: Trust
  readonly group: string
  /** Name the meter has to have; null for any. */
  readonly meter: string | null
  readonly script: Script
  readonly verdicts: Verdicts
  readonly handshakes: HandshakeJudge
  readonly recording: Recording
  publish(cid: string, frame: Uint8Array): void
  opened(channel: Channel, peer: Credential): void
  message(channel: Channel, payload: Uint8Array, frame: Uint8Array): void
}

interface HalfOpen {
  readonly cI: number
  readonly cR: number
  readonly epoch: number
  readonly message1: Uint8Array
  readonly state: ResponderWait3
  readonly frame2: Uint8Array
  plaintext3: Uint8Array | null
}

interface Finished {
  readonly cR: number
  readonly message1: Uint8Array
  readonly message3: Uint8Array
  readonly frame4: Uint8Array
}

interface Epoch {
  readonly number: number
  readonly up: HalfKeys
  readonly down: HalfKeys
  /** Counters seen, and the highest of them. */
  readonly counters: Set<number>
  newest: number
  newestFrame: Uint8Array | null
  nextDown: number
}

/** One connection of a meter: the responder's side of its handshakes and of its records. */
export class Channel {
  readonly cid: string
  peer: Credential | null = null
  /** The meter has its message_4: what comes from here on may be records. */
  confirmed = false
  readonly #context: ChannelContext
  #half: HalfOpen | null = null
  #newest1: Uint8Array | null = null
  #done: Finished | null = null
  #epochs: Epoch[] = []
  /** An act made the handshake fail, or the peer did: what follows on this channel is not judged. */
  #spoilt = false

  constructor(cid: string, context: ChannelContext) {
    this.cid = cid
    this.#context = context
  }

  /** Number modulo 4 of the newest epoch, or null before the first. */
  get epoch(): number | null {
    return this.#epochs[0]?.number ?? null
  }

  receive(frame: Uint8Array): void {
    const parsed = parseFrame(frame)
    switch (parsed.kind) {
      case 'message1':
        return this.#message1(parsed.body.slice())
      case 'handshake':
        return this.#message3(parsed.id, parsed.body.slice())
      case 'error':
        return this.#context.recording.add({ type: 'edhoc-error', cid: this.cid })
      case 'record':
        return this.#record(frame)
      default:
        this.#context.verdicts.fail('record/form', {
          expected: 'f5 ‖ message_1, C_R ‖ message_3, or a record',
          came: toHex(frame),
        })
    }
  }

  /** Seals for the meter under the next counter, or the one given, and sends. Returns the frame. */
  send(payload: Uint8Array, counter?: number): Uint8Array | null {
    const frame = this.seal(payload, counter)
    if (frame !== null) this.#context.publish(this.cid, frame)
    return frame
  }

  seal(payload: Uint8Array, counter?: number): Uint8Array | null {
    const epoch = this.#epochs[0]
    if (epoch === undefined) return null
    const used = counter ?? epoch.nextDown
    epoch.nextDown = Math.max(epoch.nextDown, used + 1)
    return sealRecord(epoch.down, used, payload)
  }

  #message1(message1: Uint8Array): void {
    const { script, recording, handshakes } = this.#context
    if (this.#done !== null && equal(this.#done.message1, message1)) return // a late duplicate
    const again = this.#newest1 !== null && equal(this.#newest1, message1)
    this.#newest1 = message1
    const newest = this.epoch
    if (!again) handshakes.message1(message1, newest === null ? null : (newest + 1) & 3)
    const epoch = epochOfIdentifier(peekIdentifier(message1) ?? 0)
    const answered = again ? this.#half : this.#answer(message1, epoch)
    recording.add({ type: 'message-1', cid: this.cid, epoch, again })
    if (answered !== null) this.#repeat(answered.frame2, script.message2)
  }

  #answer(message1: Uint8Array, epoch: number): HalfOpen | null {
    const { crypto, random, script } = this.#context
    const cI = peekIdentifier(message1)
    if (cI === null) return null
    const cR = responderIdentifier(random(1)[0] ?? 0, [cI, this.#done?.cR ?? cI])
    let half: HalfOpen | null = null
    try {
      const { state, message2 } = responderMessage1(
        {
          crypto,
          suite: suite4(crypto),
          own: script.own,
          cR: Uint8Array.of(cR),
          ephemeralSecret: random(32),
          trace: (name, bytes) => {
            if (name === 'PLAINTEXT_3' && half !== null) half.plaintext3 = bytes
          },
        },
        message1,
      )
      const frame2 = handshakeFrame(cI, message2)
      half = { cI, cR, epoch, message1, state, frame2, plaintext3: null }
      this.#half = half
      return half
    } catch (error) {
      if (codeOf(error) === 'edhoc/bad-key') this.#context.handshakes.lowOrder(message1)
      this.#context.publish(this.cid, handshakeFrame(cI, errorMessageFor(error, [4])))
      return null
    }
  }

  #message3(cR: number, message3: Uint8Array): void {
    const { recording, script } = this.#context
    const done = this.#done
    if (done !== null && done.cR === cR && equal(done.message3, message3)) {
      recording.add({ type: 'message-3', cid: this.cid, again: true })
      if (script.message4 !== 'wrong') this.#message4(done.frame4)
      return
    }
    const half = this.#half
    recording.add({ type: 'message-3', cid: this.cid, again: false })
    if (half === null) return
    if (half.cR !== cR) {
      const expected = `C_R 0x${half.cR.toString(16)}, from PLAINTEXT_2, before message_3`
      const came = `0x${cR.toString(16)} ‖ ${toHex(message3)}`
      this.#context.verdicts.fail('message-3/form', { expected, came })
      return
    }
    this.#half = null
    this.#finish(half, message3)
  }

  #finish(half: HalfOpen, message3: Uint8Array): void {
    const { handshakes } = this.#context
    let stage: Stage3 = 'form'
    let peer: Credential | null = null
    const resolve: ResolvePeer = (idCred) => {
      stage = 'credential'
      const { credential, key } = this.#judgePeer(kcwtFrom(idCred))
      peer = credential
      stage = 'signature'
      return { cred: peer.encoded, key }
    }
    try {
      const { message4, exporter } = responderMessage3(half.state, message3, resolve)
      handshakes.message3('done', null, message3, half.plaintext3)
      if (peer !== null) this.#open(half, message3, { peer, exporter, message4 })
    } catch (error) {
      if (codeOf(error) === 'edhoc/not-authentic') stage = 'encryption'
      handshakes.message3(stage, error, message3, half.plaintext3)
      this.#spoilt = true
      this.#context.publish(this.cid, handshakeFrame(half.cI, errorMessageFor(error, [4])))
    }
  }

  #judgePeer(encoded: Uint8Array): ReturnType<Trust['checkPeer']> {
    const { trust, group, meter } = this.#context
    const peer = trust.checkPeer(encoded)
    const { deviceId } = peer.credential
    requireRole(peer.credential, 'meter', group)
    if (meter === null || deviceId === meter) return peer
    throw new CodedError('channel/wrong-node', `the meter is "${deviceId}", not "${meter}"`)
  }

  #open(
    { cI, cR, epoch, message1 }: HalfOpen,
    message3: Uint8Array,
    result: { peer: Credential; exporter: Exporter; message4: Uint8Array },
  ): void {
    const { crypto, recording, script } = this.#context
    const { peer, exporter, message4 } = result
    const { cid } = this
    const up = halfKeys(crypto, exporter, { cid, direction: 0, epoch })
    const down = halfKeys(crypto, exporter, { cid, direction: 1, epoch })
    exporter.wipe()
    const made: Epoch = {
      number: epoch,
      up,
      down,
      counters: new Set(),
      newest: -1,
      newestFrame: null,
      nextDown: 0,
    }
    this.#epochs = [made, ...this.#epochs.filter(({ number }) => number !== epoch)].slice(0, 3)
    this.peer = peer
    const frame4 = handshakeFrame(cI, message4)
    this.#done = { cR, message1, message3, frame4 }
    if (script.message4 === 'wrong') {
      this.#spoilt = true
      this.#context.publish(cid, flipped(frame4))
    } else this.#message4(frame4)
    this.#context.opened(this, peer)
    recording.add({ type: 'session', cid, epoch, peer })
  }

  #message4(frame4: Uint8Array): void {
    const { message4 } = this.#context.script
    if (message4 === 'withhold') return
    this.confirmed = true
    this.#repeat(frame4, message4)
  }

  #repeat(frame: Uint8Array, how: 'answer' | 'withhold' | 'twice' | 'wrong'): void {
    if (how === 'withhold') return
    this.#context.publish(this.cid, frame)
    if (how === 'twice') this.#context.publish(this.cid, frame)
  }

  #record(frame: Uint8Array): void {
    const { recording, verdicts } = this.#context
    const number = epochBits(frame)
    recording.add({ type: 'record', cid: this.cid, epoch: number })
    // Before message_4 it should not be there at all, which is what an act looks for.
    if (!this.confirmed || this.#spoilt) return
    const epoch = this.#epochs.find((one) => one.number === number)
    if (epoch === undefined) {
      const known = this.#epochs.map((one) => one.number).join(', ')
      const came = `epoch ${number}: ${toHex(frame)}`
      verdicts.fail('record/form', { expected: `a record of epoch ${known}`, came })
      return
    }
    if (epoch.newestFrame !== null && equal(epoch.newestFrame, frame)) return // sent again by MQTT
    const payload = this.#openRecord(epoch, frame)
    if (payload === null) return
    verdicts.pass('record/form')
    const counter = counterOf(frame)
    verdicts.judge('record/counter', counter > epoch.newest, () => ({
      expected: `a counter above ${epoch.newest}`,
      came: `counter ${counter}: ${toHex(frame)}`,
    }))
    const replay = epoch.counters.has(counter)
    epoch.counters.add(counter)
    epoch.newest = Math.max(epoch.newest, counter)
    epoch.newestFrame = frame.slice()
    if (!replay) this.#context.message(this, payload, frame)
  }

  #openRecord(epoch: Epoch, frame: Uint8Array): Uint8Array | null {
    try {
      return openRecord(epoch.up, frame)
    } catch (error) {
      const why = counterOf(frame) < 0 ? 'a longer form, or too short' : codeOf(error)
      this.#context.verdicts.fail('record/form', {
        expected: 'header, counter, ciphertext under the key of this direction and epoch',
        came: `${why}: ${toHex(frame)}`,
      })
      return null
    }
  }
}

/** The same bytes with one bit of the last one changed. */
export function flipped(bytes: Uint8Array): Uint8Array {
  const out = bytes.slice()
  const last = out.length - 1
  out[last] = (out[last] ?? 0) ^ 1
  return out
}
