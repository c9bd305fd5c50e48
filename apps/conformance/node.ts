import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createBroker, type Broker } from '#broker'
import { unknownSessionFrame, type Identity } from '#channel'
import type { Trust } from '#credential'
import { nativeCrypto } from '#crypto-native'
import { kcwt, type OwnCredential } from '#edhoc'
import { encodeDown, type Down } from '#messages'
import { openConnection, type Connection } from '#mqtt-link'
import { systemClock, systemRandom } from '#service'
import { Channel, flipped, type ChannelContext, type Script } from './channel.ts'
import { openFront, type Front } from './front.ts'
import { HandshakeJudge } from './judge-handshake.ts'
import { MessageJudge } from './judge-messages.ts'
import { MqttJudge } from './judge-mqtt.ts'
import { Recording } from './recording.ts'
import type { Verdicts } from './verdicts.ts'

export interface NodeOptions {
  readonly own: Identity
  readonly trust: Trust
  readonly meter: string | null
  readonly listen: { readonly host: string; readonly port: number }
  readonly verdicts: Verdicts
}

/** Acts hold handshakes back for longer than a fog node waits. */
const ADMIT_MS = 600_000
const CHANNEL_ID = /^[A-Za-z0-9_-]{8}$/

/** A fog node that does what the acts want, behind a real broker; it stores nothing. */
export class PlayedNode {
  readonly name: string
  readonly own: OwnCredential
  readonly script: Script
  readonly recording = new Recording()
  /** What is known of the meter, from its first session on. */
  messages: MessageJudge | null = null
  channel: Channel | null = null
  #front: Front | null = null
  readonly #options: NodeOptions
  readonly #mqtt: MqttJudge
  readonly #channelContext: ChannelContext
  /** Connections that ended, and the newest of them: the broker may still have something of it. */
  readonly #past = new Set<string>()
  #gone: Channel | null = null
  #broker: Broker | null = null
  #connection: Connection | null = null
  readonly #folder = mkdtempSync(join(tmpdir(), 'fogmeter-conformance-'))

  constructor(options: NodeOptions) {
    const { own, trust, meter, verdicts } = options
    const { credential, key } = own
    this.#options = options
    this.name = credential.deviceId
    this.own = { idCred: kcwt(credential.encoded), cred: credential.encoded, key }
    this.script = {
      own: this.own,
      message2: 'answer',
      message4: 'answer',
      welcome: 'answer',
      receipts: 'send',
    }
    this.#mqtt = new MqttJudge(verdicts, this.name)
    this.#channelContext = {
      crypto: nativeCrypto,
      random: systemRandom,
      trust,
      group: credential.group,
      meter,
      script: this.script,
      verdicts,
      handshakes: new HandshakeJudge(verdicts),
      recording: this.recording,
      publish: (cid, frame) => this.#publish(`dn/${cid}`, frame),
      opened: (channel, peer) => {
        this.#mqtt.named(channel.cid, peer.deviceId)
        const context = { crypto: nativeCrypto, trust, node: this.name, script: this.script }
        this.messages ??= new MessageJudge(
          {
            ...context,
            verdicts,
            recording: this.recording,
            answer: (to, message) => to.send(encodeDown(message)),
            forge: (to, message) => {
              const frame = to.seal(encodeDown(message))
              if (frame !== null) this.publishFrame(to, flipped(frame))
            },
          },
          peer,
        )
      },
      message: (channel, payload, frame) => this.messages?.take(channel, payload, frame),
    }
  }

  /** @throws conformance/bad-listen, broker/… */
  async open(): Promise<void> {
    const socket = join(this.#folder, 'agent.sock')
    const where = { tls: false, host: '127.0.0.1', port: 0 }
    this.#broker = await createBroker({
      node: this.name,
      listen: [where],
      socket,
      limits: { admitTimeoutMs: ADMIT_MS },
      clock: systemClock,
      log: {
        info: () => undefined,
        error: () => undefined,
        warn: (data) => {
          if ((data as { reason?: string }).reason === 'silent') this.#mqtt.silent()
        },
      },
    })
    await this.#connect(`unix://${socket}`)
    const { host, port } = this.#options.listen
    this.#front = await openFront({
      host,
      port,
      broker: this.#broker.ports[0] ?? 0,
      watch: {
        opened: () => undefined,
        packet: (line, packet, size) => this.#mqtt.packet(line, packet, size),
        unreadable: (_line, reason) => this.#mqtt.unreadable(reason),
        closed: (line) => this.#closed(line),
      },
    })
  }

  /** Where the meter should connect to. */
  get url(): string {
    const { host } = this.#options.listen
    const name = host.includes(':') ? `[${host}]` : host
    return `mqtt://${name}:${this.#front?.port ?? 0}`
  }

  /** Ends the meter's connection, as a network may. */
  cut(): void {
    this.#front?.cut()
  }

  /** Says that there is no session, which anybody can. */
  sayUnknown(channel: Channel): void {
    this.#publish(`dn/${channel.cid}`, unknownSessionFrame())
  }

  /** Publishes bytes as they are to a channel. */
  publishFrame(channel: Channel, frame: Uint8Array): void {
    this.#publish(`dn/${channel.cid}`, frame)
  }

  say(channel: Channel, message: Down): void {
    channel.send(encodeDown(message))
  }

  async close(): Promise<void> {
    await this.#front?.close()
    await this.#connection?.close()
    await this.#broker?.close()
    rmSync(this.#folder, { recursive: true, force: true })
  }

  #connect(url: string): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#connection = openConnection(
        { url, clientId: 'conformance', topicFilter: `${this.#topic('up')}/#` },
        {
          up: resolve,
          message: (topic, payload, done) => {
            this.#received(topic.slice(this.#topic('up').length + 1), payload)
            done()
          },
          drain: () => undefined,
          down: (_code, reason) => reject(new Error(reason)),
        },
      )
    })
  }

  #topic(way: 'up' | 'dn' | 'ctl'): string {
    return `fm/1/${this.name}/${way}`
  }

  #publish(rest: string, payload: Uint8Array): void {
    this.#connection?.publish(`fm/1/${this.name}/${rest}`, payload)
  }

  #received(cid: string, payload: Uint8Array): void {
    if (!CHANNEL_ID.test(cid)) return
    if (this.#past.has(cid)) {
      if (this.#gone?.cid === cid) this.#gone.receive(Uint8Array.from(payload))
      return
    }
    if (this.channel?.cid !== cid) {
      this.channel = new Channel(cid, this.#channelContext)
      this.messages?.newSession(this.channel)
      this.recording.add({ type: 'connected', cid })
    }
    const channel = this.channel
    const before = channel.epoch
    channel.receive(Uint8Array.from(payload))
    if (before === null && channel.epoch !== null) this.messages?.newSession(channel)
  }

  #closed(line: number): void {
    const cid = this.#mqtt.cidOf(line)
    this.#mqtt.closed(line)
    if (cid === null) return
    this.#past.add(cid)
    if (this.channel?.cid === cid) {
      this.#gone = this.channel
      this.channel = null
    }
    this.recording.add({ type: 'gone', cid })
  }
}
