import { fromUtf8, utf8 } from '#bytes'
import type { ChannelLimits, Initiator, Output, Responder, ResponderOutput } from '#channel'
import { createWorld, type World } from './channel.ts'
import { seededRandom } from './random.ts'

/** How a simulated network treats frames. Probabilities per frame; times in ms. */
export interface Weather {
  readonly loss: number
  readonly duplicate: number
  /** A copy arrives this much later at most (after `baseDelayMs`), so frames overtake each other. */
  readonly jitterMs: number
}

export const CLEAR: Weather = { loss: 0, duplicate: 0, jitterMs: 0 }
const BASE_DELAY_MS = 20
const CLOSED_PAUSE_MS = 1_000

interface Event {
  readonly atMs: number
  /** Keeps events of the same time in the order they were made. */
  readonly number: number
  readonly run: () => void
}

/** What each side was given, and what came out at the other; texts are unique, as `<cid> <n>`. */
export interface Ledger {
  readonly sentUp: string[]
  readonly sentDown: string[]
  readonly gotUp: string[]
  readonly gotDown: string[]
  /** Everything that must never happen, in words. */
  readonly violations: string[]
  opens: number
  rekeys: number
  closes: number
}

/**
 * One meter and one fog node on a virtual clock, over a network that loses, doubles and reorders
 * frames. A closed channel is replaced by a new one after a pause, as a link does.
 */
export class Simulation {
  readonly ledger: Ledger = {
    sentUp: [],
    sentDown: [],
    gotUp: [],
    gotDown: [],
    violations: [],
    opens: 0,
    rekeys: 0,
    closes: 0,
  }
  readonly #world: World
  readonly #limits: Partial<ChannelLimits>
  readonly #uniform: () => number
  weather: Weather
  initiator: Initiator
  responder: Responder
  #events: Event[] = []
  #made = 0
  #channels = 0
  #messages = 0
  #restarts = 0
  /** cid the responder has reported open since its last restart. */
  readonly #openAtResponder = new Set<string>()

  constructor(seed: number, weather: Weather, limits: Partial<ChannelLimits> = {}) {
    this.#world = createWorld(3)
    this.#limits = limits
    this.#uniform = seededRandom(seed)
    this.weather = weather
    this.responder = this.#world.responder({ limits })
    this.initiator = this.#newInitiator()
    this.#every(1_000, () => this.#perform(this.responder.tick()))
  }

  get nowMs(): number {
    return this.#world.clock.ms
  }

  get opened(): boolean {
    return this.initiator.state === 'open'
  }

  start(): void {
    this.#do(this.initiator, this.initiator.start())
  }

  /** Runs everything that happens in the next `ms`. */
  run(ms: number): void {
    const end = this.nowMs + ms
    for (;;) {
      const timer = this.initiator.nextTickAt
      const next = this.#events[0]
      const at = Math.min(timer, next?.atMs ?? Infinity)
      if (at > end) break
      this.#world.clock.ms = Math.max(at, this.nowMs)
      if (next !== undefined && next.atMs <= timer) {
        this.#events.shift()
        next.run()
      } else this.#do(this.initiator, this.initiator.tick())
    }
    this.#world.clock.ms = end
  }

  /** Both sides send a message when they can. */
  talk(): void {
    if (this.opened) {
      const text = this.#text()
      this.ledger.sentUp.push(text)
      this.#up(this.initiator, this.initiator.send(utf8(text)))
    }
    const cid = this.initiator.channelId
    const text = this.#text()
    const frame = this.#heardFrom.has(cid) ? this.responder.send(cid, utf8(text)) : null
    if (frame === null) return
    this.ledger.sentDown.push(text)
    this.#down(cid, frame)
  }

  /** A responder answers; it does not speak before it was spoken to. */
  readonly #heardFrom = new Set<string>()

  restartResponder(): void {
    this.#restarts += 1
    this.#openAtResponder.clear()
    this.#heardFrom.clear()
    this.responder = this.#world.responder({ seed: 1_000 + this.#restarts, limits: this.#limits })
  }

  #newInitiator(): Initiator {
    this.#channels += 1
    const channelId = `chan${String(this.#channels).padStart(4, '0')}`
    return this.#world.initiator({ channelId, seed: 500 + this.#channels, limits: this.#limits })
  }

  #do(initiator: Initiator, outputs: readonly Output[]): void {
    for (const output of outputs) {
      if (output.type === 'frame') this.#up(initiator, output.bytes)
      if (output.type === 'message') {
        if (initiator.state !== 'open') this.ledger.violations.push('message before open')
        this.ledger.gotDown.push(fromUtf8(output.payload))
      }
      if (output.type === 'open') this.ledger[output.rekey ? 'rekeys' : 'opens'] += 1
      if (output.type === 'closed') this.#replace()
    }
  }

  #replace(): void {
    this.ledger.closes += 1
    this.#at(CLOSED_PAUSE_MS, () => {
      this.initiator = this.#newInitiator()
      this.start()
    })
  }

  #perform(outputs: readonly ResponderOutput[]): void {
    for (const output of outputs) {
      if (output.type === 'frame') this.#down(output.cid, output.bytes)
      if (output.type === 'open') this.#openAtResponder.add(output.cid)
      if (output.type === 'closed' && output.peer) this.#openAtResponder.delete(output.cid)
      if (output.type === 'message') {
        if (!this.#openAtResponder.has(output.cid)) this.ledger.violations.push('not open')
        if (output.peer.deviceId !== 'meter-1') this.ledger.violations.push('wrong peer')
        this.#heardFrom.add(output.cid)
        this.ledger.gotUp.push(fromUtf8(output.payload))
      }
    }
  }

  #up(initiator: Initiator, frame: Uint8Array): void {
    this.#carry(() => this.#perform(this.responder.receive(initiator.channelId, frame)))
  }

  #down(cid: string, frame: Uint8Array): void {
    this.#carry(() => {
      const { initiator } = this
      if (initiator.channelId === cid) this.#do(initiator, initiator.receive(frame))
    })
  }

  #carry(arrive: () => void): void {
    const copies = this.#uniform() < this.weather.duplicate ? 2 : 1
    for (let copy = 0; copy < copies; copy++) {
      if (this.#uniform() < this.weather.loss) continue
      this.#at(BASE_DELAY_MS + this.#uniform() * this.weather.jitterMs, arrive)
    }
  }

  #text(): string {
    this.#messages += 1
    return `${this.initiator.channelId} ${this.#messages}`
  }

  #every(periodMs: number, run: () => void): void {
    this.#at(periodMs, () => {
      run()
      this.#every(periodMs, run)
    })
  }

  #at(delayMs: number, run: () => void): void {
    const event = { atMs: this.nowMs + delayMs, number: this.#made++, run }
    const index = this.#events.findIndex((other) => other.atMs > event.atMs)
    this.#events.splice(index < 0 ? this.#events.length : index, 0, event)
  }
}
