/** Many meters in one process, against a real broker: sessions are real, payloads are made ahead. */
import { randomBytes } from 'node:crypto'
import { toBase64Url } from '#bytes'
import { createInitiator, type Initiator, type Output } from '#channel'
import { nativeCrypto } from '#crypto-native'
import { decodeDown, encodeUp } from '#messages'
import { systemClock, systemRandom } from '#service'
import { homeDay, MeterSource, type Message, type Mode } from './meter-source.ts'
import { connectMqtt, type MqttClient } from './mqtt-client.ts'
import { meterName, newTrust, node, personOf } from './people.ts'

/** Connections begun and not open yet; more only make the handshakes of each other late. */
const opening = 50
/** Messages between two looks at the sockets. */
const sweep = 64

export interface Load {
  mode: Mode
  blocksPerMeter: number
}

/** One meter: its session, what it still has to send, what is not receipted. */
class FleetMeter {
  readonly source: MeterSource
  readonly #up: string
  readonly #initiator: Initiator
  readonly #mqtt: MqttClient
  readonly opened = Promise.withResolvers<void>()
  #messages: Message[] = []
  #at = 0
  /** Last numbers of blocks sent and not receipted, in order. */
  #waiting: number[] = []

  constructor(source: MeterSource, port: number) {
    this.source = source
    const channelId = toBase64Url(randomBytes(6))
    this.#up = `fm/1/${node}/up/${channelId}`
    this.#initiator = createInitiator({
      crypto: nativeCrypto,
      random: systemRandom,
      clock: systemClock,
      own: source.own,
      trust: newTrust(),
      peerRole: 'fog',
      node,
      channelId,
    })
    this.#mqtt = connectMqtt(
      { host: '127.0.0.1', port },
      { clientId: channelId, filter: `fm/1/${node}/dn/${channelId}` },
      {
        up: () => this.#perform(this.#initiator.start()),
        message: (_, payload) => this.#perform(this.#initiator.receive(payload)),
        lost: (reason) => this.#failed(reason),
      },
    )
  }

  /** Readies the messages of the next load; returns how many. */
  prepare({ mode, blocksPerMeter }: Load): number {
    this.#messages = []
    this.#at = 0
    for (let i = 0; i < blocksPerMeter; i++)
      this.#messages.push(...this.source.block(mode).messages)
    return this.#messages.length
  }

  get done(): boolean {
    return this.#at === this.#messages.length && this.#waiting.length === 0
  }

  /** Sends one message unless `window` blocks wait for receipts or nothing is left. */
  sendOne(window: number): boolean {
    const message = this.#messages[this.#at]
    if (message === undefined || this.#waiting.length >= window) return false
    this.#at += 1
    if (message.last > 0) this.#waiting.push(message.last)
    this.#mqtt.publish(this.#up, this.#initiator.send(message.payload))
    return true
  }

  tick(): void {
    if (systemClock.monotonic() >= this.#initiator.nextTickAt) this.#perform(this.#initiator.tick())
  }

  close(): void {
    this.#mqtt.close()
  }

  #perform(outputs: readonly Output[]): void {
    for (const output of outputs) {
      if (output.type === 'frame') this.#mqtt.publish(this.#up, output.bytes)
      else if (output.type === 'message') this.#heard(output.payload)
      else if (output.type === 'closed') this.#failed(output.code)
      else this.#hello()
    }
  }

  #hello(): void {
    const hello = encodeUp({ type: 'hello', oldestHeld: 1, next: 1 })
    this.#mqtt.publish(this.#up, this.#initiator.send(hello))
  }

  #heard(payload: Uint8Array): void {
    const message = decodeDown(payload)
    if (message.type === 'welcome') this.opened.resolve()
    else if (message.type === 'receipt') {
      const { durable } = message
      while ((this.#waiting[0] ?? Infinity) <= durable) this.#waiting.shift()
    } else this.#failed(`the fog answered ${JSON.stringify(message)}`)
  }

  /** A measurement with losses or repetitions would measure something else. */
  #failed(reason: string): void {
    const error = new Error(`${this.source.own.credential.deviceId}: ${reason}`)
    this.opened.reject(error)
    throw error
  }
}

/** All meters of one process. */
export class Fleet {
  #meters: FleetMeter[] = []
  #ticker: NodeJS.Timeout | undefined

  /** Opens `count` sessions with the fog node behind the broker on `port`. */
  async connect(port: number, count: number, intervalS: number): Promise<void> {
    this.#ticker = setInterval(() => this.#meters.forEach((meter) => meter.tick()), 500)
    for (let from = 0; from < count; from += opening) {
      const size = Math.min(opening, count - from)
      const group = Array.from({ length: size }, (_, i) => {
        const own = personOf(meterName(from + i), 'meter')
        return new FleetMeter(
          new MeterSource(own, homeDay(from + i), { house: from + i, intervalS }),
          port,
        )
      })
      this.#meters.push(...group)
      await Promise.all(group.map(({ opened }) => opened.promise))
    }
  }

  prepare(load: Load): number {
    return this.#meters.reduce((sum, meter) => sum + meter.prepare(load), 0)
  }

  /** Sends everything as fast as receipts come, at most `window` blocks ahead of them per meter. */
  async run(window: number): Promise<void> {
    for (;;) {
      let sent = 0
      let busy = false
      for (const meter of this.#meters) {
        if (meter.sendOne(window)) sent += 1
        else busy ||= !meter.done
        if (sent % sweep === sweep - 1) await turn()
      }
      if (sent === 0 && !busy) return
      if (sent === 0) await pause(1)
      else await turn()
    }
  }

  /** Sends everything evenly, `perSecond` messages a second over all meters, and waits for the receipts. */
  async pace(perSecond: number): Promise<void> {
    const startMs = systemClock.monotonic()
    let sent = 0
    for (;;) {
      let any = false
      for (const meter of this.#meters) {
        if (!meter.sendOne(Infinity)) continue
        any = true
        sent += 1
        const dueMs = startMs + (sent / perSecond) * 1_000
        while (systemClock.monotonic() < dueMs) await pause(1)
      }
      if (!any) break
    }
    while (!this.#meters.every(({ done }) => done)) await pause(5)
  }

  close(): void {
    clearInterval(this.#ticker)
    for (const meter of this.#meters) meter.close()
  }
}

const turn = () => new Promise<void>((resolve) => setImmediate(resolve))
const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms))
