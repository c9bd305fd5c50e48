/** Clients of a broker without any sessions: they publish bytes, and one local subscriber counts them. */
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { Aedes } from 'aedes'
import { toBase64Url, utf8 } from '#bytes'
import { connectMqtt, type MqttClient } from './mqtt-client.ts'

export interface Target {
  port: number
  socket: string
  node: string
  clients: number
  /** Also take the agent's place on the local socket. */
  listen: boolean
}

/** The size of a sealed live reading. */
const payload = randomBytes(35)
/** Messages on their way at most. */
const inFlight = 2_000
const opening = 50

export class Publishers {
  readonly #clients: { mqtt: MqttClient; topic: string }[] = []
  #listener: MqttClient | null = null
  #received = 0

  async connect(target: Target): Promise<void> {
    const { port, socket, node, clients, listen } = target
    if (listen) {
      const filter = `fm/1/${node}/up/#`
      this.#listener = await opened({ path: socket }, 'bench-listener', filter, () => {
        this.#received += 1
      })
    }
    for (let from = 0; from < clients; from += opening) {
      const size = Math.min(opening, clients - from)
      const group = Array.from({ length: size }, async () => {
        const channelId = toBase64Url(randomBytes(6))
        const filter = `fm/1/${node}/dn/${channelId}`
        const mqtt = await opened({ host: '127.0.0.1', port }, channelId, filter, () => undefined)
        this.#listener?.publish(`fm/1/${node}/ctl/${channelId}`, utf8('admit'))
        this.#clients.push({ mqtt, topic: `fm/1/${node}/up/${channelId}` })
      })
      await Promise.all(group)
    }
  }

  /** Publishes `each` messages from every client, and waits until all have come through. */
  async send(each: number): Promise<number> {
    const messages = each * this.#clients.length
    const end = this.#received + messages
    let sent = this.#received
    for (let i = 0; i < each; i++) {
      for (const { mqtt, topic } of this.#clients) {
        while (sent - this.#received >= inFlight) await turn()
        mqtt.publish(topic, payload)
        sent += 1
        if (sent % 64 === 0) await turn()
      }
    }
    while (this.#received < end) await turn()
    return messages
  }
}

function opened(
  where: { path: string } | { host: string; port: number },
  clientId: string,
  filter: string,
  message: () => void,
): Promise<MqttClient> {
  return new Promise((resolve, reject) => {
    const lost = (reason: string) => reject(new Error(reason))
    const mqtt = connectMqtt(
      where,
      { clientId, filter },
      { message, lost, up: () => resolve(mqtt) },
    )
  })
}

const turn = () => new Promise<void>((resolve) => setImmediate(resolve))

/** Aedes as it comes: no rules, no guard, nothing counted. Returns its port. */
export async function startAedes(socket: string): Promise<number> {
  const aedes = await Aedes.createBroker()
  const [network, local] = [createServer(aedes.handle), createServer(aedes.handle)]
  network.listen(0, '127.0.0.1')
  local.listen(socket)
  await Promise.all([once(network, 'listening'), once(local, 'listening')])
  return (network.address() as AddressInfo).port
}
