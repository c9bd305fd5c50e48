import { toHex } from '#bytes'
import { decode } from '#cbor'
import type { Credential, Trust } from '#credential'
import type { Crypto } from '#crypto'
import { codeOf } from '#errors'
import { decodeUp, encodeDown, type Down, type ReceivedUp } from '#messages'
import type { Channel, Script } from './channel.ts'
import { BlockJudge, type Taken } from './judge-blocks.ts'
import { ReadingJudge } from './judge-readings.ts'
import { epochBits } from '#record'
import type { Recording } from './recording.ts'
import type { Verdicts } from './verdicts.ts'

/** A live PUBLISH with a node name of this length has at most `LIVE_BYTES`. */
const NODE_NAME_BYTES = 5
const LIVE_BYTES = 64
/** Live mode may start over for many reasons, but not with every reading. */
const MOST_FULL = 2

export interface MessageContext {
  readonly crypto: Crypto
  readonly trust: Trust
  readonly node: string
  readonly script: Script
  readonly verdicts: Verdicts
  readonly recording: Recording
  answer(channel: Channel, message: Down): Uint8Array | null
  /** Sends it with one bit changed. */
  forge(channel: Channel, message: Down): void
}

/** Judges the messages of one meter over all its sessions, and answers as a fog node does. */
export class MessageJudge {
  /** Receipted through this number; what the acts have refused lies apart. */
  durable = 0
  readonly readings: ReadingJudge
  readonly blocks: BlockJudge
  readonly #context: MessageContext
  readonly #refused: { first: number; last: number }[] = []
  #channel: Channel | null = null
  #greeted = false
  #welcomed = false
  /** Highest number this session was told is durable. */
  #told = 0
  #next = 0
  #liveAsked = false
  /** From this epoch on the meter greets again: it was told that its session is unknown. */
  #greetsFrom: number | null = null
  /** The node has asked for what begins here, in this session. */
  #askedFrom = Infinity
  /** The newest reading in full, and how many came without a gap. */
  #fullBefore: { number: number; full: number } | null = null

  constructor(context: MessageContext, peer: Credential) {
    this.#context = context
    const { key } = context.trust.checkPeer(peer.encoded)
    this.readings = new ReadingJudge(context.verdicts)
    const { deviceId } = peer
    this.blocks = new BlockJudge(context.crypto, context.verdicts, this.readings, { deviceId, key })
  }

  get welcomed(): boolean {
    return this.#welcomed
  }

  /** A new channel, or one on which the meter has been told that its session is unknown. */
  newSession(channel: Channel): void {
    this.#channel = channel
    this.#greeted = false
    this.#welcomed = false
    this.#told = 0
    this.#askedFrom = Infinity
    this.#restartLive()
  }

  /** The session of this epoch is a new one to the meter, on the same channel. */
  greetsFrom(epoch: number): void {
    this.#greetsFrom = epoch
  }

  /**
   * A block the acts refuse; the next one goes on after it. False when this session was asked for it
   * again: what is not on its way at that moment the meter need not take as refused.
   */
  refuse(first: number, last: number): boolean {
    if (first >= this.#askedFrom) return false
    this.#refused.push({ first, last })
    return true
  }

  /** A receipt, as the acts send them; what it covers is not to come again. */
  receipt(channel: Channel, durable: number): void {
    this.durable = Math.max(this.durable, durable)
    this.#told = Math.max(this.#told, durable)
    this.#context.answer(channel, { type: 'receipt', durable })
  }

  /** Asks for everything from `from` on. Returns the frame, for those who want to send it again. */
  resend(channel: Channel, from: number): Uint8Array | null {
    this.#askedFrom = Math.min(this.#askedFrom, from)
    return this.#context.answer(channel, { type: 'resend', from })
  }

  /** A `resend` whose tag does not fit. */
  forgedResend(channel: Channel, from: number): void {
    this.#context.forge(channel, { type: 'resend', from })
  }

  /** A harmless record under a counter of the caller's choice. */
  lastRecord(channel: Channel, counter: number): void {
    channel.send(encodeDown({ type: 'receipt', durable: this.durable }), counter)
  }

  welcome(channel: Channel): void {
    this.#welcomed = true
    this.#told = this.durable
    this.#context.answer(channel, { type: 'welcome', durable: this.durable })
  }

  take(channel: Channel, payload: Uint8Array, frame: Uint8Array): void {
    if (this.#greetsFrom === epochBits(frame)) {
      this.#greetsFrom = null
      this.newSession(channel)
    }
    const message = this.#decode(payload)
    if (message === null) return
    if (channel !== this.#channel) return
    this.#order(message, payload)
    this.#size(channel, message, frame)
    this.#dispatch(channel, message)
    this.#context.recording.add({ type: 'up', cid: channel.cid, message })
  }

  #decode(payload: Uint8Array): ReceivedUp | null {
    const { verdicts } = this.#context
    try {
      const message = decodeUp(payload)
      const known = message.type !== 'items' && message.type !== 'credential'
      verdicts.judge('message/form', known, () => ({
        expected: 'a message of a meter: hello, live, block, report, reading',
        came: `${message.type}: ${toHex(payload)}`,
      }))
      return known ? message : null
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error)
      const came = `${why} (${codeOf(error)}): ${toHex(payload)}`
      if (isHello(payload)) verdicts.fail('hello/numbers', { expected: '[0, oldest, next]', came })
      else verdicts.fail('message/form', { expected: 'a message of fogmeter.cddl', came })
      return null
    }
  }

  #order(message: ReceivedUp, payload: Uint8Array): void {
    const { verdicts } = this.#context
    const isHelloNow = message.type === 'hello'
    const came = () => ({ came: `${message.type}: ${toHex(payload)}` })
    if (!this.#greeted)
      verdicts.judge('hello/first', isHelloNow, () => ({ expected: 'hello', ...came() }))
    else if (!this.#welcomed) {
      const expected = 'nothing, or hello once more'
      verdicts.judge('hello/waits', isHelloNow, () => ({ expected, ...came() }))
    }
    this.#greeted = true
  }

  #size(channel: Channel, message: ReceivedUp, frame: Uint8Array): void {
    if (message.type !== 'reading' && message.type !== 'live') return
    if (message.type === 'reading' && !this.#isIdle(message.reading.number)) return
    const { node, verdicts } = this.#context
    const topic = `fm/1/${node}/up/${channel.cid}`
    const size = 2 + 2 + topic.length + frame.length
    const limit = LIVE_BYTES + node.length - NODE_NAME_BYTES
    verdicts.judge('size/live', size <= limit, () => ({
      expected: `at most ${limit} bytes with a node name of ${node.length}`,
      came: `${size} bytes at QoS 0, a message of type ${message.type}`,
    }))
  }

  /** Readings in full one after the other, where the first would have done. */
  #isIdle(number: number): boolean {
    const before = this.#fullBefore
    const full = before !== null && before.number === number - 1 ? before.full + 1 : 1
    this.#fullBefore = { number, full }
    return full > MOST_FULL
  }

  #dispatch(channel: Channel, message: ReceivedUp): void {
    switch (message.type) {
      case 'hello':
        return this.#hello(channel, message.oldestHeld, message.next)
      case 'reading':
        this.#liveAsked = false
        return this.readings.full(message.reading)
      case 'live':
        if (!this.readings.delta(message.values)) this.#askForLive(channel)
        return
      case 'block':
        return this.#taken(channel, this.blocks.takeSignature(message))
      case 'report':
        return this.#taken(channel, this.blocks.takeReport(message.body))
      default:
    }
  }

  #hello(channel: Channel, oldestHeld: number, next: number): void {
    const { verdicts, script } = this.#context
    const used = Math.max(this.readings.highest, this.blocks.last)
    const right = next > used && next >= this.#next
    verdicts.judge('hello/numbers', right, () => ({
      expected: `next above ${Math.max(used, this.#next - 1)}`,
      came: `oldest held ${oldestHeld}, next ${next}`,
    }))
    this.#next = Math.max(this.#next, next)
    if (this.durable === 0 && this.blocks.last === 0) this.durable = oldestHeld - 1
    this.blocks.heldFrom(oldestHeld)
    this.#restartLive()
    if (script.welcome === 'answer') this.welcome(channel)
  }

  #taken(channel: Channel, taken: Taken): void {
    const { recording, script } = this.#context
    if (taken.type === 'bad') return
    if (taken.type === 'ask') {
      this.resend(channel, taken.from)
      return
    }
    const { first, last, again } = taken
    this.#repeats(first, last)
    recording.add({ type: 'block', cid: channel.cid, first, last, again })
    if (script.receipts === 'send' && this.#welcomed) this.receipt(channel, this.blocks.last)
  }

  #repeats(first: number, last: number): void {
    const { verdicts } = this.#context
    const name = `block ${first} to ${last}`
    if (this.#told > 0 && last < this.#askedFrom)
      verdicts.judge('receipts/forgets', last > this.#told, () => ({
        expected: `nothing up to ${this.#told}, which this session was told is durable`,
        came: name,
      }))
    const refused = this.#refused.some((one) => one.last === last)
    if (this.#refused.length > 0)
      verdicts.judge('refused/never-again', !refused, () => ({
        expected: 'never again what was refused',
        came: name,
      }))
  }

  /** Live readings whose base was lost mean nothing; asked once, the meter starts over in full. */
  #askForLive(channel: Channel): void {
    if (this.#liveAsked) return
    this.#liveAsked = true
    this.resend(channel, this.blocks.last + 1)
  }

  #restartLive(): void {
    this.readings.restart()
    this.#liveAsked = false
  }
}

function isHello(payload: Uint8Array): boolean {
  try {
    const value = decode(payload)
    return Array.isArray(value) && value[0] === 0
  } catch {
    return false
  }
}
