import { toBase64Url } from '#bytes'
import {
  Backoff,
  createInitiator,
  type Initiator,
  type InitiatorCounters,
  type Output,
} from '#channel'
import { defaults } from '#defaults'
import { adviceFor } from './advice.ts'
import { openConnection, type Connection } from './connection.ts'
import { placesOf, type Places } from './places.ts'
import { topicPrefix } from './topics.ts'
import type { InitiatorLink, InitiatorLinkOptions, InitiatorSettings, Target } from './types.ts'

/** 48 random bits: 8 base64url characters. */
const CHANNEL_ID_BYTES = 6
/** setTimeout's own limit; a later deadline is simply looked at again. */
const LONGEST_TIMER_MS = 2 ** 31 - 1

/** A channel of ours was superseded so recently that opening one proves nothing. */
const RIVAL_MS = 600_000

/**
 * Connects, shakes hands, and does both again whenever the channel ends, until closed. What is wrong with
 * a known place is thrown now, when it can still be told to somebody.
 * @throws mqtt-link/bad-url, mqtt-link/bad-ca
 */
export function runInitiator(options: InitiatorLinkOptions): InitiatorLink {
  const { ca: _, ...settings } = options as InitiatorSettings & Pick<Target, 'ca'>
  const runner = new InitiatorRunner(settings, placesOf(options))
  runner.connect()
  return runner
}

class InitiatorRunner implements InitiatorLink {
  readonly #options: InitiatorSettings
  readonly #places: Places
  readonly #backoff: Backoff
  #state: InitiatorLink['state'] = 'waiting'
  #attempts = 0
  #initiator: Initiator | null = null
  #connection: Connection | null = null
  #upTopic = ''
  #timer: NodeJS.Timeout | undefined
  #timerAtMs = Infinity
  #supersededMs = -Infinity
  #past: InitiatorCounters = NOTHING

  constructor(options: InitiatorSettings, places: Places) {
    this.#options = options
    this.#places = places
    this.#backoff = new Backoff(options.backoff ?? defaults.backoff, options.random)
  }

  get state(): InitiatorLink['state'] {
    return this.#state
  }

  get target(): Target | null {
    return this.#places.current
  }

  get channelId(): string | null {
    return this.#initiator?.channelId ?? null
  }

  attempts(): number {
    return this.#attempts
  }

  counters(): InitiatorCounters {
    return this.#initiator === null ? this.#past : sum(this.#past, this.#initiator.counters())
  }

  /** A new connection with a new channel id. Called by `runInitiator` and by the back-off timer. */
  connect(): void {
    this.#state = 'connecting'
    const { target } = this
    if (target === null) void this.#search()
    else this.#open(target)
  }

  async #search(): Promise<void> {
    const failure = await this.#places.search()
    if (this.#state === 'closed') return
    const { target } = this
    if (target !== null) return this.#open(target)
    this.#waitAfter(failure?.code ?? 'mqtt-link/nobody-found', failure?.detail ?? null, true)
  }

  #open({ node, url, ca }: Target): void {
    const channelId = toBase64Url(this.#options.random(CHANNEL_ID_BYTES))
    const initiator = createInitiator({ ...this.#options, node, channelId })
    this.#attempts += 1
    this.#initiator = initiator
    this.#upTopic = topicPrefix(node, 'up') + channelId
    const address = ca === undefined ? { url } : { url, ca }
    const topicFilter = topicPrefix(node, 'dn') + channelId
    this.#connection = openConnection(
      { ...this.#options, ...address, clientId: channelId, topicFilter },
      {
        up: () => this.#perform(initiator, initiator.start()),
        message: (topic, payload, done) => {
          if (topic === topicFilter) this.#perform(initiator, initiator.receive(payload))
          done()
        },
        drain: () => this.#options.onDrain?.(),
        down: (code, reason) => this.#ended(initiator, code, true, reason),
      },
    )
  }

  send(payload: Uint8Array): boolean {
    const initiator = this.#initiator
    if (initiator === null || this.#state !== 'open') return false
    try {
      const sent = this.#publish(initiator.send(payload))
      this.#arm(initiator)
      return sent
    } catch {
      this.#arm(initiator) // used-up keys: the tick closes the channel
      return false
    }
  }

  reconnect(code: string): void {
    const initiator = this.#initiator
    if (initiator === null) return
    this.#places.failed()
    this.#ended(initiator, code, true, null)
  }

  superseded(): void {
    if (this.#initiator === null) return
    this.#supersededMs = this.#options.clock.monotonic()
    this.#ended(this.#initiator, 'channel/superseded', true, null)
  }

  async close(): Promise<void> {
    this.#state = 'closed'
    clearTimeout(this.#timer)
    const connection = this.#connection
    this.#forget()
    await connection?.close()
  }

  #perform(initiator: Initiator, outputs: readonly Output[]): void {
    for (const output of outputs) {
      if (this.#initiator !== initiator) return // a callback ended this channel
      switch (output.type) {
        case 'frame':
          this.#publish(output.bytes)
          break
        case 'message':
          this.#options.onMessage(output.payload)
          break
        case 'open':
          this.#state = 'open'
          this.#places.proved()
          if (!this.#hasRival()) this.#backoff.reset()
          this.#arm(initiator)
          this.#options.onOpen(output.peer, output.rekey)
          break
        case 'closed':
          this.#ended(initiator, output.code, output.retry, output.detail)
          return
      }
    }
    this.#arm(initiator)
  }

  #hasRival(): boolean {
    return this.#options.clock.monotonic() - this.#supersededMs < RIVAL_MS
  }

  #publish(frame: Uint8Array): boolean {
    return this.#connection?.publish(this.#upTopic, frame) ?? false
  }

  /** Makes the timer match what the channel waits for. */
  #arm(initiator: Initiator): void {
    if (this.#initiator !== initiator || initiator.nextTickAt === this.#timerAtMs) return
    clearTimeout(this.#timer)
    this.#timerAtMs = initiator.nextTickAt
    if (this.#timerAtMs === Infinity) return
    const wait = Math.max(0, this.#timerAtMs - this.#options.clock.monotonic())
    this.#timer = setTimeout(
      () => {
        this.#timerAtMs = Infinity
        this.#perform(initiator, initiator.tick())
      },
      Math.min(Math.ceil(wait), LONGEST_TIMER_MS),
    )
  }

  #ended(initiator: Initiator, code: string, retry: boolean, detail: string | null): void {
    if (this.#initiator !== initiator || this.#state === 'closed') return
    // A channel that worked is worth the same place again; one that never opened is not.
    const elsewhere = this.#state !== 'open' && this.#places.failed()
    const connection = this.#connection
    this.#forget()
    void connection?.close()
    // Whoever was not the node there says nothing about the next place.
    this.#waitAfter(code, detail, retry || elsewhere)
  }

  #waitAfter(code: string, detail: string | null, retry: boolean): void {
    const { node, url } = this.target ?? {}
    const waitMs = retry ? this.#backoff.next() : this.#backoff.longest()
    this.#state = 'waiting'
    this.#timer = setTimeout(() => this.connect(), waitMs)
    this.#options.log?.warn(
      { code, detail, waitMs, node, url, advice: adviceFor(code, detail) },
      'channel ended, will connect again',
    )
    this.#options.onClosed(code, retry)
  }

  #forget(): void {
    this.#past = this.counters()
    this.#initiator?.close()
    this.#initiator = null
    this.#connection = null
    clearTimeout(this.#timer)
    this.#timerAtMs = Infinity
  }
}

const NOTHING = { handshakes: 0, sealed: 0, opened: 0, refused: 0, unknownSession: 0 }

function sum(a: InitiatorCounters, b: InitiatorCounters): InitiatorCounters {
  return {
    handshakes: a.handshakes + b.handshakes,
    sealed: a.sealed + b.sealed,
    opened: a.opened + b.opened,
    refused: a.refused + b.refused,
    unknownSession: a.unknownSession + b.unknownSession,
  }
}
