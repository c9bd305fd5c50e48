import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { createServer, type Server } from 'node:tls'
import { afterEach, describe, expect, test } from 'vitest'
import { openConnection, type Connection } from '#mqtt-link'
import { adviceFor } from '../../libs/mqtt-link/advice.ts'
import { startBroker } from '../support/channel-broker.ts'
import {
  makeCertificates,
  type CertificatePlan,
  type TestCertificate,
} from '../support/certificate.ts'

const DAY_MS = 86_400_000
const never = { now: () => 100_000_000 }
const right = { now: Date.now }
/** OpenSSL asks this machine, whose clock is right: so here the certificate is early, not the clock late. */
const tomorrow: CertificatePlan = { fromMs: Date.now() + DAY_MS, untilMs: Date.now() + 9 * DAY_MS }

const closing: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close()
})

async function startTlsBroker(tls: TestCertificate) {
  const broker = await startBroker({ tls })
  closing.push(() => broker.kill())
  return broker
}

interface Try {
  clock?: { now(): number }
  ca: string
  host?: string
}

/** Connects; resolves to `up`, or to how it ended. `ended` is the same of what happens later. */
function connect(port: number, { ca, host = '127.0.0.1', ...clock }: Try) {
  const said: object[] = []
  const log = {
    debug: () => undefined,
    info: () => undefined,
    warn: (data: object) => void said.push(data),
  }
  let connection: Connection | undefined
  const down = Promise.withResolvers<string[]>()
  const first = new Promise<string>((resolve) => {
    connection = openConnection(
      {
        url: `mqtts://${host}:${port}`,
        ca,
        ...clock,
        clientId: randomBytes(6).toString('hex'),
        topicFilter: 'a/b',
        username: 'fog-1',
        password: 'secret',
        log,
      },
      {
        up: () => resolve('up'),
        message: (_topic, _payload, done) => done(),
        drain: () => undefined,
        down(code, reason) {
          resolve(reason)
          down.resolve([code, reason])
        },
      },
    )
  })
  closing.push(() => connection!.close())
  return { first, ended: down.promise, said, connection: connection! }
}

describe('on a machine whose clock was never set', () => {
  test('a certificate that lacks nothing but its time is taken, and it is said', async () => {
    const { ca, server } = makeCertificates('ours', tomorrow)
    const { port } = await startTlsBroker(server)
    const { first, said } = connect(port, { ca, clock: never })
    expect(await first).toBe('up')
    expect(said).toEqual([expect.objectContaining({ notBefore: expect.stringMatching(/^20/) })])
  })

  test.each([
    ['from one root among several', tomorrow],
    ['that is its own root', { ...tomorrow, ownRoot: true }],
  ])('so is one %s', async (_, plan) => {
    const { ca, server } = makeCertificates('ours', plan)
    const { port } = await startTlsBroker(server)
    const { first } = connect(port, { ca: makeCertificates('other').ca + ca, clock: never })
    expect(await first).toBe('up')
  })

  test("a server's certificate is no root, also where `ca` lists it", async () => {
    const { server } = makeCertificates('ours', tomorrow)
    const { port } = await startTlsBroker(server)
    expect(await connect(port, { ca: server.cert, clock: never }).first).toMatch(/not signed/)
  })

  test('one whose time has come is taken without a word', async () => {
    const { ca, server } = makeCertificates('ours')
    const { port } = await startTlsBroker(server)
    const { first, said } = connect(port, { ca, clock: never })
    expect([await first, said]).toEqual(['up', []])
  })

  const lastYear: CertificatePlan = { fromMs: Date.UTC(2023, 0), untilMs: Date.UTC(2024, 0) }
  const elsewhere = { address: [127, 0, 0, 2] }
  test.each<[string, CertificatePlan, Partial<Try>, RegExp]>([
    ['from another authority', tomorrow, { ca: makeCertificates('ours').ca }, /not signed/],
    [
      'from another authority of the same name',
      tomorrow,
      { ca: makeCertificates('served', tomorrow).ca },
      /not signed|SIGNATURE/,
    ],
    ['from another authority, in its time', {}, { ca: makeCertificates('ours').ca }, /UNABLE_TO/],
    ['for another host', { ...tomorrow, ...elsewhere }, {}, /not in the cert's list/],
    ['for another host, in its time', elsewhere, {}, /ALTNAME/],
    ['asked for by another name', tomorrow, { host: 'localhost' }, /does not match|localhost/],
    [
      'signed by itself',
      { ...tomorrow, ownRoot: true },
      { ca: makeCertificates('ours').ca },
      /not signed/,
    ],
    ['for clients', { ...tomorrow, forClients: true }, {}, /not for a server/],
    ['through an authority in between', { ...tomorrow, intermediate: true }, {}, /not signed/],
    ['ended before anybody could have a late clock', lastYear, {}, /EXPIRED/],
  ])('a certificate %s is refused, and nothing was sent', async (_, plan, change, reason) => {
    const { ca, server } = makeCertificates('served', plan)
    const spy = await startSpy(server)
    const { first, ended } = connect(spy.port, { ca, clock: never, ...change })
    expect(await first).toMatch(reason)
    expect((await ended)[0]).toBe('mqtt-link/untrusted-broker')
    expect(await spy.heard()).toBe(0)
  })

  test('once it is set, the dates count: good ones keep the connection, others end it', async () => {
    const { ca, server } = makeCertificates('ours', tomorrow)
    const { port, published } = await startTlsBroker(server)
    let nowMs = never.now()
    const good = connect(port, { ca, clock: { now: () => nowMs } })
    const bad = connect(port, {
      ca,
      clock: { now: () => (nowMs < DAY_MS * 9_999 ? nowMs : Date.now()) },
    })
    expect([await good.first, await bad.first]).toEqual(['up', 'up'])
    nowMs = Date.now() + 2 * DAY_MS
    bad.connection.publish('x', Uint8Array.of(1))
    expect(await bad.ended).toEqual(['mqtt-link/untrusted-broker', 'certificate is not yet valid'])
    expect(good.connection.publish('y', Uint8Array.of(2))).toBe(true)
    good.connection.publish('z', Uint8Array.of(2))
    await good.connection.close()
    expect(published.map(({ topic }) => topic)).toEqual(['y', 'z'])
  })
})

test.each([
  ['is right', right],
  ['is not known to this connection', undefined],
])('where the clock %s, the dates count, and the advice is about them', async (_, clock) => {
  const early = makeCertificates('ours', tomorrow)
  const late = makeCertificates('ours', { fromMs: Date.UTC(2025, 3), untilMs: Date.UTC(2026, 3) })
  for (const [{ ca, server }, word] of [
    [early, 'not yet valid'],
    [late, 'has expired'],
  ] as const) {
    const { port } = await startTlsBroker(server)
    const [code = '', reason = ''] = await connect(port, { ca, ...(clock && { clock }) }).ended
    expect(code).toBe('mqtt-link/untrusted-broker')
    expect(reason).toContain(word)
    expect(adviceFor(code, reason)).toMatch(/^by this machine's clock .*: set the clock/)
  }
})

/** A server that counts what it is told. */
async function startSpy(tls: TestCertificate) {
  let bytes = 0
  const ended: Promise<unknown>[] = []
  const server: Server = createServer(tls, (socket) => {
    socket.on('data', (chunk) => (bytes += chunk.length))
    socket.on('error', () => undefined)
    ended.push(once(socket, 'close'))
  })
  server.on('tlsClientError', () => undefined)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  closing.push(() => new Promise((resolve) => server.close(resolve)))
  return {
    port: (server.address() as AddressInfo).port,
    heard: async () => {
      await Promise.all(ended)
      return bytes
    },
  }
}
