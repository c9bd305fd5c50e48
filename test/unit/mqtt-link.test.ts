import { randomBytes } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { fromUtf8, utf8 } from '#bytes'
import { createResponder, type Identity, type Responder } from '#channel'
import { nodeCrypto } from '#crypto-node'
import { runInitiator, runResponder } from '#mqtt-link'
import type { InitiatorLink, InitiatorLinkOptions, ResponderLink } from '#mqtt-link'
import type { Clock } from '#ports'
import { adviceFor } from '../../libs/mqtt-link/advice.ts'
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
async function startFog(
  url: string,
  responder = newResponder(),
  node = 'fog-1',
  ca?: string,
): Promise<Fog> {
  const events = new Happenings<string>()
  const up = new Happenings<void>()
  const link: ResponderLink = runResponder({
    url,
    node,
    responder,
    backoff,
    ...(ca === undefined ? {} : { ca }),
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

  test('superseded again and again: each wait may be twice as long as the last, opening proves nothing', async () => {
    const { port } = await broker()
    const url = `mqtt://127.0.0.1:${port}`
    await startFog(url)
    const own = authority.enrol('meter-1', 'meter')
    const waits = new Happenings<Record<string, unknown>>()
    let superseded = 0
    const link = runInitiator({
      ...common,
      url,
      own,
      node: 'fog-1',
      trust: authority.trust(clock),
      peerRole: 'fog',
      // Of four random bytes the back-off makes its jitter: with these it always waits longest.
      random: (n) => (n === 4 ? new Uint8Array(4).fill(255) : randomBytes(n)),
      backoff: { firstMs: 8, maxMs: 64 },
      log: { debug() {}, info() {}, warn: (data) => waits.add({ ...data }) },
      onOpen: () => {
        if (superseded++ < 5) link.superseded()
        else link.reconnect('test/other-reason')
      },
      onMessage: () => undefined,
      onClosed: () => undefined,
    })
    open.push(link)
    for (const waitMs of [7, 15, 31, 63, 63]) {
      expect(await waits.next()).toMatchObject({
        code: 'channel/superseded',
        waitMs,
        advice: expect.stringContaining('stop one of the two') as string,
      })
    }
    expect(await waits.next(), 'the rival may be back').toMatchObject({ waitMs: 63 })
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

  test('TLS with our own certificate authority; another one is refused', async () => {
    const ca = fileURLToPath(new URL('ca.pem', TLS))
    const tls = await broker({ tls: { key: pem('server.key'), cert: pem('server.pem') } })
    const url = `mqtts://localhost:${tls.port}`
    const { events: atFog } = await startFog(url, newResponder(), 'fog-1', ca)
    const good = startMeter(authority.enrol('meter-1', 'meter'), url, { ca })
    expect(await good.events.next()).toBe('open fog-1')
    expect(await atFog.next()).toBe('open meter-1')
    const bad = startMeter(authority.enrol('meter-2', 'meter'), url, {
      ca: pem('other.pem'),
    })
    expect(await bad.events.next()).toBe('closed mqtt-link/untrusted-broker true')
  })

  test('a configuration that cannot work is refused at once, with the reason', () => {
    const own = authority.enrol('meter-1', 'meter')
    for (const url of [
      'http://x',
      'mqtt://',
      '127.0.0.1:1883',
      'mqtt://u:p@host',
      'unix://host/x',
    ]) {
      expect(() => startMeter(own, url)).toThrow(
        expect.objectContaining({ code: 'mqtt-link/bad-url' }),
      )
    }
    expect(() => startMeter(own, 'mqtts://127.0.0.1', { ca: join(folder, 'none.pem') })).toThrow(
      expect.objectContaining({ code: 'mqtt-link/bad-ca' }),
    )
    const text = join(folder, 'no.pem')
    writeFileSync(text, 'ca = "certificates are elsewhere"')
    expect(() => startMeter(own, 'mqtts://127.0.0.1', { ca: text })).toThrow(
      expect.objectContaining({ code: 'mqtt-link/bad-ca' }),
    )
  })
})

describe('what goes wrong and heals', () => {
  test('the broker restarts: both sides come back by themselves, the meter on a new channel', async () => {
    const first = await broker()
    const url = `mqtt://127.0.0.1:${first.port}`
    const { events: atFog } = await startFog(url)
    const { link, events } = startMeter(authority.enrol('meter-1', 'meter'), url)
    await events.find((event) => event === 'open fog-1')
    const before = link.channelId
    await first.kill()
    expect(await events.next()).toBe('closed mqtt-link/disconnected true')
    expect(link.send(utf8('into the void'))).toBe(false)
    await broker({ port: first.port })
    await events.find((event) => event === 'open fog-1')
    expect(link.channelId).not.toBe(before)
    expect(link.send(utf8('back'))).toBe(true)
    await atFog.find((event) => event === 'message meter-1 back')
    await events.find((event) => event === 'message BACK')
  })

  test('the fog node restarts: "unknown session" brings a new handshake on the same connection', async () => {
    const { port, published } = await broker()
    const url = `mqtt://127.0.0.1:${port}`
    const old = await startFog(url)
    const { link, events } = startMeter(authority.enrol('meter-1', 'meter'), url, {
      limits: { unknownSessionMs: 100 },
    })
    await events.find((event) => event === 'open fog-1')
    const cid = link.channelId
    await old.link.close()
    const fresh = await startFog(url)
    expect(link.send(utf8('for the one before'))).toBe(true)
    // rekey false: the layer above greets again and resends what had no receipt.
    expect(await events.next()).toBe('open fog-1')
    expect(await fresh.events.next()).toBe('open meter-1')
    expect(link.send(utf8('again'))).toBe(true)
    expect(await fresh.events.next()).toBe('message meter-1 again')
    expect(await events.next()).toBe('message AGAIN')
    expect(link.channelId).toBe(cid)
    expect(link.attempts()).toBe(1)
    expect(published.some(({ payload }) => payload.length === 1 && payload[0] === 0xf6)).toBe(true)
  })

  test('a revoked meter is cut off, told why, and asks again only after the longest wait', async () => {
    const { port, published } = await broker()
    const url = `mqtt://127.0.0.1:${port}`
    const thief = new TestAuthority(9)
    const stolen = thief.enrol('meter-9', 'meter')
    const thiefFog = thief.enrol('fog-1', 'fog')
    const trust = thief.trust(clock)
    const responder = createResponder({
      ...common,
      own: thiefFog,
      trust,
      peerRole: 'meter',
      group: 'default',
    })
    const { link, events: atFog } = await startFog(url, responder)
    const meter = startMeter(stolen, url, { trust: new TestAuthority(9).trust(clock) })
    await atFog.find((event) => event === 'open meter-9')
    await meter.events.find((event) => event === 'open fog-1')
    thief.revoke(stolen)
    const cid = meter.link.channelId as string
    link.recheck()
    await atFog.find((event) => event === 'closed meter-9 credential/revoked')
    meter.link.reconnect('test/again')
    await meter.events.find((event) => event === 'closed channel/credential-refused false')
    expect(meter.link.state).toBe('waiting')
    const control = published.filter(({ topic }) => topic === `fm/1/fog-1/ctl/${cid}`)
    expect(control.map(({ payload }) => payload.toString())).toEqual(['admit', 'drop'])
  })

  test('a wrong node name: the meter refuses, and moves to the next place it knows', async () => {
    const { port } = await broker()
    const url = `mqtt://127.0.0.1:${port}`
    // fog-1 serves the topics of fog-2: a rogue operator, or a wrong configuration.
    await startFog(url, newResponder(), 'fog-2')
    await startFog(url)
    const { link, events } = startMeter(authority.enrol('meter-1', 'meter'), url, {
      node: 'fog-2',
      alternatives: [{ url, node: 'fog-1' }],
    })
    expect(await events.next()).toBe('closed channel/wrong-node false')
    expect(await events.next()).toBe('open fog-1')
    expect(link.target?.node).toBe('fog-1')
  })

  test('nobody behind the broker: gives up, and moves on', async () => {
    const { port } = await broker()
    const url = `mqtt://127.0.0.1:${port}`
    await startFog(url)
    const { events } = startMeter(authority.enrol('meter-1', 'meter'), url, {
      node: 'fog-9',
      alternatives: [{ url, node: 'fog-1' }],
      limits: { retransmitMs: 50, giveUpMs: 200 },
    })
    expect(await events.next()).toBe('closed channel/timeout true')
    expect(await events.next()).toBe('open fog-1')
  })

  test('junk on the topics changes nothing', async () => {
    const { port, aedes } = await broker()
    const url = `mqtt://127.0.0.1:${port}`
    const { events: atFog, responder } = await startFog(url)
    const { link, events } = startMeter(authority.enrol('meter-1', 'meter'), url)
    await events.find((event) => event === 'open fog-1')
    const cid = link.channelId as string
    for (const topic of ['', '/x', '/short', '/not-8-characters', '/a/b', `/${cid}`, '/........']) {
      for (let size = 0; size < 40; size++) {
        const payload = randomBytes(size)
        for (const way of ['up', 'dn', 'ctl']) publish(aedes, `fm/1/fog-1/${way}${topic}`, payload)
      }
    }
    publish(aedes, `fm/1/fog-1/up/${cid}`, Buffer.of())
    expect(link.send(utf8('still here'))).toBe(true)
    await atFog.find((event) => event === 'message meter-1 still here')
    await events.find((event) => event === 'message STILL HERE')
    expect(responder.counters().sessions).toBe(1)
  })
})

describe('the responder side under load', () => {
  test('a slow receiver holds the broker back, in order; onIdle groups what came together', async () => {
    const { port, published } = await broker()
    const url = `mqtt://127.0.0.1:${port}`
    const responder = newResponder()
    const up = new Happenings<void>()
    const idle = new Happenings<number>()
    const got: string[] = []
    let release: (() => void) | null = null
    const link = runResponder({
      url,
      node: 'fog-1',
      responder,
      backoff,
      onUp: () => up.add(undefined),
      onMessage: (_cid, _peer, payload) => {
        got.push(fromUtf8(payload))
        if (got.length === 10) return new Promise<void>((resolve) => (release = resolve))
        return undefined
      },
      onIdle: () => idle.add(got.length),
    })
    open.push(link)
    await up.next()
    const { link: meter, events } = startMeter(authority.enrol('meter-1', 'meter'), url)
    await events.next()
    for (let i = 0; i < 1000; i++) meter.send(utf8(`${i}`))
    await idle.find((count) => count === 10)
    meter.send(utf8('last'))
    const uploaded = (): number => published.filter(({ topic }) => topic.includes('/up/')).length
    await settled(() => uploaded() >= 2 + 1001) // message_1, message_3, and everything sent
    expect(got.length).toBe(10)
    ;(release as unknown as () => void)()
    await idle.find((count) => count === 1001)
    expect(got).toEqual([...Array.from({ length: 1000 }, (_, i) => `${i}`), 'last'])
  })

  test('closing does not wait for a receiver that never finishes', async () => {
    const { port } = await broker()
    const url = `mqtt://127.0.0.1:${port}`
    const held = new Happenings<void>()
    const link = runResponder({
      url,
      node: 'fog-1',
      responder: newResponder(),
      backoff,
      onMessage: () => {
        held.add(undefined)
        return new Promise<void>(() => undefined)
      },
    })
    const { link: meter, events } = startMeter(authority.enrol('meter-1', 'meter'), url)
    await events.find((event) => event === 'open fog-1')
    for (let i = 0; i < 100; i++) meter.send(utf8('x'))
    await held.next()
    await link.close()
    expect(link.up).toBe(false)
  })

  test('a thousand messages of fifty meters arrive, each once, with their sender', async () => {
    const { port } = await broker()
    const url = `mqtt://127.0.0.1:${port}`
    const { events: atFog } = await startFog(url)
    const meters = Array.from({ length: 50 }, (_, i) =>
      startMeter(authority.enrol(`meter-${i}`, 'meter'), url),
    )
    for (const { events } of meters) await events.find((event) => event === 'open fog-1')
    for (let n = 0; n < 20; n++) for (const { link } of meters) link.send(utf8(`n${n}`))
    const seen = new Map<string, number>()
    while ([...seen.values()].reduce((a, b) => a + b, 0) < 1000) {
      const message = await atFog.find((event) => event.startsWith('message'))
      seen.set(message, (seen.get(message) ?? 0) + 1)
    }
    expect(seen.size).toBe(1000)
  })
})

function publish(aedes: TestBroker['aedes'], topic: string, payload: Buffer): void {
  const packet = { cmd: 'publish', topic, payload, qos: 0, retain: false, dup: false } as const
  aedes.publish({ ...packet }, () => undefined)
}

/** Turns of the event loop until something holds. */
async function settled(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setImmediate(resolve))
}

const TLS = new URL('../support/channel-tls/', import.meta.url)

function pem(name: string): string {
  return readFileSync(new URL(name, TLS), 'utf8')
}

describe('advice', () => {
  test.each([
    ['connect ECONNREFUSED 127.0.0.1:1883', /start it/],
    ['connect ENOENT /run/x.sock', /start it/],
    ['getaddrinfo ENOTFOUND fog-1.local', /no machine of this name/],
    ['the broker closed the connection', /same identity/],
    ['the broker closed the connection', /mqtts/],
    [
      'Client network socket disconnected before secure TLS connection was established',
      /does not speak TLS/,
    ],
  ])('%s', (reason, words) => {
    expect(adviceFor('mqtt-link/disconnected', reason)).toMatch(words)
  })

  test('a code says more than the reason for the end of the connection', () => {
    const reason = 'the broker closed the connection'
    expect(adviceFor('mqtt-link/not-admitted', reason)).toMatch(/node name/)
    expect(adviceFor('mqtt-link/disconnected', 'something new')).toBeNull()
  })
})
