import type { IConnectPacket, IPublishPacket, ISubscribePacket, Packet } from 'mqtt-packet'
import type { Verdicts } from './verdicts.ts'

/** What one connection has said about itself. */
export interface Line {
  cid: string
  userName: string
}

const CHANNEL_ID = /^[A-Za-z0-9_-]{8}$/
const KEEP_ALIVE_MAX_S = 1_200
const FRAME_BYTES = 4_096

/** Judges what a meter says in MQTT, where the broker that follows would only end the connection. */
export class MqttJudge {
  readonly #verdicts: Verdicts
  readonly #node: string
  readonly #lines = new Map<number, Line>()
  readonly #clientIds = new Set<string>()

  constructor(verdicts: Verdicts, node: string) {
    this.#verdicts = verdicts
    this.#node = node
  }

  packet(line: number, packet: Packet, size: number): void {
    if (packet.cmd === 'connect') this.#connect(line, packet)
    else if (packet.cmd === 'subscribe') this.#subscribe(line, packet)
    else if (packet.cmd === 'publish') this.#publish(line, packet, size)
  }

  unreadable(reason: string): void {
    this.#verdicts.fail('mqtt/connect', { expected: 'packets of MQTT 3.1.1', came: reason })
  }

  closed(line: number): void {
    this.#lines.delete(line)
  }

  /** Channel id of a connection; null before its CONNECT. */
  cidOf(line: number): string | null {
    return this.#lines.get(line)?.cid ?? null
  }

  /** The device is known once it has proved who it is. */
  named(cid: string, deviceId: string): void {
    const line = [...this.#lines.values()].find((one) => one.cid === cid)
    if (line === undefined) return
    const tells = [line.cid, line.userName].some((text) => text.includes(deviceId))
    this.#verdicts.judge('mqtt/no-name', !tells, () => ({
      expected: 'nothing that names the device',
      came: `client id "${line.cid}", user name "${line.userName}" of device "${deviceId}"`,
    }))
  }

  /** The broker ended a connection that had said nothing for too long. */
  silent(): void {
    const expected = 'a packet within 1.5 times the keep-alive'
    this.#verdicts.fail('mqtt/keep-alive', { expected, came: 'silence' })
  }

  #connect(line: number, packet: IConnectPacket): void {
    const { clientId, keepalive = 0, clean, will, protocolVersion, username } = packet
    this.#lines.set(line, { cid: clientId, userName: username ?? '' })
    const plain = protocolVersion === 4 && clean === true && will === undefined
    this.#verdicts.judge('mqtt/connect', plain, () => ({
      expected: 'protocol level 4, clean session, no will',
      came:
        `protocol level ${String(protocolVersion)}, clean session ${clean === true ? 'yes' : 'no'}, ` +
        `will ${will === undefined ? 'no' : 'yes'}`,
    }))
    const fine = CHANNEL_ID.test(clientId) && !this.#clientIds.has(clientId)
    const used = this.#clientIds.has(clientId) ? ', used before' : ''
    this.#verdicts.judge('mqtt/client-id', fine, () => ({
      expected: '8 random characters of A-Z a-z 0-9 - _',
      came: `client id "${clientId}"${used}`,
    }))
    this.#clientIds.add(clientId)
    const bounded = keepalive >= 1 && keepalive <= KEEP_ALIVE_MAX_S
    this.#verdicts.judge('mqtt/keep-alive', bounded, () => ({
      expected: `1 to ${KEEP_ALIVE_MAX_S} s`,
      came: `${keepalive} s`,
    }))
  }

  #subscribe(line: number, { subscriptions }: ISubscribePacket): void {
    const expected = `fm/1/${this.#node}/dn/${this.cidOf(line) ?? 'CLIENT-ID'}`
    const filters = subscriptions.map(({ topic }) => topic)
    const right = filters.every((filter) => filter === expected)
    this.#verdicts.judge('mqtt/subscribe', right, () => ({ expected, came: filters.join(', ') }))
  }

  #publish(line: number, { topic, qos, retain }: IPublishPacket, size: number): void {
    const expected = `fm/1/${this.#node}/up/${this.cidOf(line) ?? 'CLIENT-ID'}`
    this.#verdicts.judge('mqtt/publish', topic === expected, () => ({ expected, came: topic }))
    this.#verdicts.judge('mqtt/qos', qos < 2, () => ({ expected: 'QoS 0 or 1', came: 'QoS 2' }))
    this.#verdicts.judge('mqtt/no-retain', !retain, () => ({
      expected: 'the RETAIN flag clear',
      came: `a retained message on ${topic}`,
    }))
    this.#verdicts.judge('size/frame', size <= FRAME_BYTES, () => ({
      expected: `at most ${FRAME_BYTES} bytes`,
      came: `a PUBLISH of ${size} bytes`,
    }))
  }
}
