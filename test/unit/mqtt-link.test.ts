import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { fromUtf8, utf8 } from '#bytes'
import { createResponder, type Identity, type Responder } from '#channel'
import { nodeCrypto } from '#crypto-node'
import { runInitiator, runResponder } from '#mqtt-link'
import type { InitiatorLink, InitiatorLinkOptions, ResponderLink } from '#mqtt-link'
import type { Clock } from '#ports'
import { startBroker, type TestBroker } from '../support/channel-broker.ts'
import { TestAuthority } from '../support/channel.ts'

const clock: Clock = { now: () => Date.now(), monotonic: () => performance.now() }
const backoff = { firstMs: 20, maxMs: 200 }

const authority = new TestAuthority(7)
const fog = authority.enrol('fog-1', 'fog')
const common = { crypto: nodeCrypto, random: (n: number) => randomBytes(n), clock, backoff }

/** Everything to close after a test, newest first. */
const open: { close(): Promise<void> }[] = []
let folder = ''

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'fogmeter-link-'))
})

afterEach(async () => {
  for (const thing of open.splice(0).toReversed()) await thing.close()
  rmSync(folder, { recursive: true })
})

/** A queue of things that happened; `next` waits for the one after the last taken. */
class Happenings<T> {
  readonly #items: T[] = []
  readonly #waiting: ((item: T) => void)[] = []
  add = (item: T): void => {
    const taker = this.#waiting.shift()
    if (taker) taker(item)
    else this.#items.push(item)
  }
  next(): Promise<T> {
    const item = this.#items.shift()
    return item === undefined
      ? new Promise((resolve) => this.#waiting.push(resolve))
      : Promise.resolve(item)
  }
  /** Skips what comes before the first match. */
  async find(wanted: (item: T) => boolean): Promise<T> {
    for (;;) {
      const item = await this.next()
      if (wanted(item)) return item
    }
  }
}

async function broker(where?: Parameters<typeof startBroker>[0]): Promise<TestBroker> {
  const started = await startBroker(where)
  let alive = true
  const kill = async (): Promise<void> => {
    if (alive) await started.kill()
    alive = false
  }
  open.push({ close: kill })
  return { ...started, kill }
}

function newResponder(limits = {}): Responder {
  const trust = authority.trust(clock)
  return createResponder({
    ...common,
    own: fog,
    trust,
    peerRole: 'meter',
    group: 'default',
    limits,
  })
}

interface Fog {
  link: ResponderLink
  responder: Responder
  events: Happenings<string>
}

/** A fog node that answers every message with the same text in capitals. */
async function startFog(url: string, responder = newResponder(), node = 'fog-1'): Promise<Fog> {
  const events = new Happenings<string>()
  const up = new Happenings<void>()
  const link: ResponderLink = runResponder({
    url,
    node,
    responder,
    backoff,
    onUp: () => up.add(undefined),
    onOpen: (_cid, peer, rekey) => events.add(`open ${peer.deviceId}${rekey ? ' again' : ''}`),
    onMessage: (cid, peer, payload) => {
      events.add(`message ${peer.deviceId} ${fromUtf8(payload)}`)
      link.send(cid, utf8(fromUtf8(payload).toUpperCase()))
    },
    onClosed: (_cid, peer, code) => events.add(`closed ${peer?.deviceId ?? '?'} ${code}`),
  })
  open.push(link)
  await up.next()
  return { link, responder, events }
}

interface Meter {
  link: InitiatorLink
  events: Happenings<string>
}

function startMeter(
  own: Identity,
  url: string,
  changes: Partial<InitiatorLinkOptions> = {},
): Meter {
  const events = new Happenings<string>()
  const link = runInitiator({
    ...common,
    own,
    trust: authority.trust(clock),
    url,
    node: 'fog-1',
    peerRole: 'fog',
    onOpen: (peer, rekey) => events.add(`open ${peer.deviceId}${rekey ? ' again' : ''}`),
    onMessage: (payload) => events.add(`message ${fromUtf8(payload)}`),
    onClosed: (code, retry) => events.add(`closed ${code} ${retry}`),
    ...changes,
  })
  open.push(link)
  return { link, events }
}

describe('a meter and a fog node over a broker', () => {
  test('TCP: open, messages both ways, topics and client ids that say nothing', async () => {
    const { port, published } = await broker()
    const url = `mqtt://127.0.0.1:${port}`
    const { events: atFog } = await startFog(url)
    const { link, events } = startMeter(authority.enrol('meter-1', 'meter'), url)
    expect(await events.next()).toBe('open fog-1')
    expect(await atFog.next()).toBe('open meter-1')
    expect(link.send(utf8('hello'))).toBe(true)
    expect(await atFog.next()).toBe('message meter-1 hello')
    expect(await events.next()).toBe('message HELLO')
    const cid = link.channelId as string
    expect(cid).toMatch(/^[\w-]{8}$/)
    const topics = new Set(published.map((packet) => packet.topic))
    expect([...topics].toSorted()).toEqual(
      [`fm/1/fog-1/ctl/${cid}`, `fm/1/fog-1/dn/${cid}`, `fm/1/fog-1/up/${cid}`].toSorted(),
    )
    expect(published.every((packet) => packet.qos === 0 && !packet.retain)).toBe(true)
    const admitted = published.filter((packet) => packet.topic.includes('/ctl/'))
    expect(admitted.map((packet) => packet.payload.toString())).toEqual(['admit'])
  })

  test('Unix socket on the responder side', async () => {
    const path = join(folder, 'broker.sock')
    const server = await broker({ path })
    const { events: atFog } = await startFog(`unix://${path}`)
    const { link, events } = startMeter(authority.enrol('meter-1', 'meter'), `unix://${path}`)
    expect(await events.next()).toBe('open fog-1')
    expect(await atFog.next()).toBe('open meter-1')
    for (let i = 0; i < 100; i++) link.send(utf8(`m${i}`))
    for (let i = 0; i < 100; i++) {
      expect(await atFog.next()).toBe(`message meter-1 m${i}`)
      expect(await events.next()).toBe(`message M${i}`)
    }
    expect(server.aedes.connectedClients).toBe(2)
  })
})
