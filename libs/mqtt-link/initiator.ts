import { toBase64Url } from '#bytes'
import {
  Backoff,
  createInitiator,
  type Initiator,
  type InitiatorCounters,
  type Output,
} from '#channel'
import { defaults } from '#defaults'
import { parseAddress, readCa } from './address.ts'
import { adviceFor } from './advice.ts'
import { openConnection, type Connection } from './connection.ts'
import { topicPrefix } from './topics.ts'
import type { InitiatorLink, InitiatorLinkOptions, Target } from './types.ts'

/** 48 random bits: 8 base64url characters. */
const CHANNEL_ID_BYTES = 6
/** setTimeout's own limit; a later deadline is simply looked at again. */
const LONGEST_TIMER_MS = 2 ** 31 - 1

/** A channel of ours was superseded so recently that opening one proves nothing. */
const RIVAL_MS = 600_000

/** Connects, shakes hands, and does both again whenever the channel ends, until closed. */
export function runInitiator(options: InitiatorLinkOptions): InitiatorLink {
  const targets: Target[] = [options, ...(options.alternatives ?? [])]
  const checked = targets.map(checkTarget)
  const runner = new InitiatorRunner(options, checked)
  runner.connect()
  return runner
}

class InitiatorRunner implements InitiatorLink {
  readonly #options: InitiatorLinkOptions
  readonly #targets: readonly Target[]
  readonly #backoff: Backoff
  #state: InitiatorLink['state'] = 'waiting'
  #target = 0
  #attempts = 0
  #initiator: Initiator | null = null
  #connection: Connection | null = null
  #timer: NodeJS.Timeout | undefined
  #timerAtMs = Infinity
  #supersededMs = -Infinity
  #past: InitiatorCounters = NOTHING

  constructor(options: InitiatorLinkOptions, targets: readonly Target[]) {
    this.#options = options
    this.#targets = targets
    this.#backoff = new Backoff(options.backoff ?? defaults.backoff, options.random)
  }

  get state(): InitiatorLink['state'] {
    return this.#state
  }

  get target(): Target {
    return this.#targets[this.#target % this.#targets.length] as Target
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
    const { node, url, ca } = this.target
    const channelId = toBase64Url(this.#options.random(CHANNEL_ID_BYTES))
    const initiator = createInitiator({ ...this.#options, node, channelId })
    this.#attempts += 1
    this.#state = 'connecting'
    this.#initiator = initiator
    const { ca: _, ...rest } = this.#options
    const address = ca === undefined ? { url } : { url, ca }
    const topicFilter = topicPrefix(node, 'dn') + channelId
    this.#connection = openConnection(
      { ...rest, ...address, clientId: channelId, topicFilter },
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
      const sent = this.#publish(initiator, initiator.send(payload))
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
    this.#target += 1
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
          this.#publish(initiator, output.bytes)
          break
        case 'message':
          this.#options.onMessage(output.payload)
          break
        case 'open':
          this.#state = 'open'
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

  #publish(initiator: Initiator, frame: Uint8Array): boolean {
    const topic = topicPrefix(this.target.node, 'up') + initiator.channelId
    return this.#connection?.publish(topic, frame) ?? false
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
    if (this.#state !== 'open') this.#target += 1
    const { node, url } = this.target
    const connection = this.#connection
    this.#state = 'waiting'
    this.#forget()
    void connection?.close()
    const waitMs = retry ? this.#backoff.next() : this.#backoff.longest()
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

/** Reads the certificates now, when a wrong path can still be told to somebody. */
function checkTarget({ url, node, ca }: Target): Target {
  parseAddress(url)
  const pem = readCa(ca)
  return pem === undefined ? { url, node } : { url, node, ca: pem }
}
