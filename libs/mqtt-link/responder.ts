import { randomBytes } from 'node:crypto'
import { toBase64Url, utf8 } from '#bytes'
import type { ResponderOutput } from '#channel'
import { defaults } from '#defaults'
import { parseAddress, readCa } from './address.ts'
import { adviceFor } from './advice.ts'
import { Backoff } from '#channel'
import { openConnection, type Connection, type DownCode } from './connection.ts'
import { RefusalLog } from './refusal-log.ts'
import { channelOf, topicPrefix } from './topics.ts'
import type { ResponderLink, ResponderLinkOptions } from './types.ts'

const TICK_MS = 1_000
const ADMIT = utf8('admit')
const DROP = utf8('drop')

/** Serves all channels of one node through its broker, reconnecting until closed. */
export function runResponder(options: ResponderLinkOptions): ResponderLink {
  parseAddress(options.url)
  const ca = readCa(options.ca)
  const runner = new ResponderRunner(ca === undefined ? options : { ...options, ca })
  runner.connect()
  return runner
}

class ResponderRunner implements ResponderLink {
  readonly #options: ResponderLinkOptions
  readonly #upPrefix: string
  readonly #downPrefix: string
  readonly #controlPrefix: string
  readonly #backoff: Backoff
  readonly #refusals: RefusalLog
  readonly #ticker: NodeJS.Timeout
  #connection: Connection | null = null
  #timer: NodeJS.Timeout | undefined
  #up = false
  #closed = false
  #idlePlanned = false
  /** What the receiver of a message still works on, if it said so. */
  #pending: Promise<void> | null = null

  constructor(options: ResponderLinkOptions) {
    const { node } = options
    this.#options = options
    this.#upPrefix = topicPrefix(node, 'up')
    this.#downPrefix = topicPrefix(node, 'dn')
    this.#controlPrefix = topicPrefix(node, 'ctl')
    this.#backoff = new Backoff(options.backoff ?? defaults.ownBrokerBackoff, randomBytes)
    this.#refusals = new RefusalLog(options.log)
    this.#ticker = setInterval(() => this.#perform(options.responder.tick()), TICK_MS)
  }

  get up(): boolean {
    return this.#up
  }

  connect(): void {
    this.#connection = openConnection(
      {
        ...this.#options,
        clientId: `node-${toBase64Url(randomBytes(6))}`,
        topicFilter: `${this.#upPrefix}#`,
      },
      {
        up: () => this.#connected(),
        message: (topic, payload, done) => this.#message(topic, payload, done),
        drain: () => undefined,
        down: (code, reason) => this.#disconnected(code, reason),
      },
    )
  }

  send(cid: string, payload: Uint8Array): boolean {
    if (!this.#up) return false
    const frame = this.#options.responder.send(cid, payload)
    return frame !== null && this.#publish(this.#downPrefix + cid, frame)
  }

  drop(cid: string, code: string): void {
    this.#perform(this.#options.responder.drop(cid, code))
  }

  dropDevice(deviceId: string, code: string): void {
    this.#perform(this.#options.responder.dropDevice(deviceId, code))
  }

  recheck(): void {
    this.#perform(this.#options.responder.recheck())
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#up = false
    clearInterval(this.#ticker)
    clearTimeout(this.#timer)
    await this.#connection?.close()
  }

  #connected(): void {
    this.#up = true
    this.#backoff.reset()
    this.#options.log?.info({ url: this.#options.url }, 'serving channels')
    this.#options.onUp?.()
  }

  #disconnected(code: DownCode, reason: string): void {
    const wasUp = this.#up
    this.#up = false
    this.#connection = null
    if (this.#closed) return
    const waitMs = this.#backoff.next()
    this.#timer = setTimeout(() => this.connect(), waitMs)
    const { log, url, onDown } = this.#options
    const data = { code, detail: reason, waitMs, url, advice: adviceFor(code, reason) }
    log?.warn(data, 'no connection to the broker, will connect again')
    if (wasUp) onDown?.()
  }

  #message(topic: string, payload: Buffer, done: () => void): void {
    const cid = channelOf(topic, this.#upPrefix)
    if (cid === null) return done()
    this.#perform(this.#options.responder.receive(cid, payload))
    this.#planIdle()
    const pending = this.#pending
    if (pending === null) return done()
    this.#pending = null
    // The link does not judge: a failed promise is its maker's to handle, the next message comes anyway.
    pending.then(done, () => done())
  }

  #perform(outputs: readonly ResponderOutput[]): void {
    for (const output of outputs) {
      switch (output.type) {
        case 'message':
          this.#pending = this.#options.onMessage(output.cid, output.peer, output.payload) ?? null
          break
        case 'frame':
          this.#publish(this.#downPrefix + output.cid, output.bytes)
          break
        case 'open':
          this.#publish(this.#controlPrefix + output.cid, ADMIT)
          this.#options.onOpen?.(output.cid, output.peer, output.rekey)
          break
        case 'closed':
          if (output.peer === null) this.#refusals.add(output.code, output.detail)
          else this.#publish(this.#controlPrefix + output.cid, DROP)
          this.#options.onClosed?.(output.cid, output.peer, output.code)
          break
      }
    }
  }

  #publish(topic: string, payload: Uint8Array): boolean {
    return this.#connection?.publish(topic, payload) ?? false
  }

  /** Packets that arrived together are handled in one turn of the event loop; this runs after it. */
  #planIdle(): void {
    const { onIdle } = this.#options
    if (onIdle === undefined || this.#idlePlanned) return
    this.#idlePlanned = true
    setImmediate(() => {
      this.#idlePlanned = false
      onIdle()
    })
  }
}
