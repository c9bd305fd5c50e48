import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { connect, createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { connect as connectTls } from 'node:tls'
import { connectAsync } from 'mqtt'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createBroker } from '#broker'
import { codeOf } from '#errors'
import { systemClock } from '#service'
import {
  ctl,
  dn,
  newChannelId,
  NODE,
  startHere,
  startProgram,
  temporaryFolder,
  up,
  type BrokerProgram,
} from '../support/broker.ts'
import { agent, greet, message, meter, open, rawClient, subscribe } from '../support/raw-mqtt.ts'

const folder = temporaryFolder()
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** Closed after it was opened: a client that cannot get in. */
async function refused(port: number): Promise<boolean> {
  const client = rawClient(connect(port, '127.0.0.1'))
  return (await greet(client)) !== 0
}

describe('the program', () => {
  let program: BrokerProgram
  beforeAll(async () => {
    program = await startProgram()
  })
  afterAll(() => program.stop())

  test('carries messages both ways for ordinary clients', async () => {
    const listener = await agent(program)
    const clientId = newChannelId()
    const client = await connectAsync({ port: program.port, host: '127.0.0.1', clientId })
    const received = new Promise<string[]>((resolve) => {
      client.once('message', (topic, payload) => resolve([topic, payload.toString()]))
    })
    await client.subscribeAsync(dn(clientId), { qos: 0 })
    // QoS 1 is allowed; its PUBACK says only that the broker has it.
    await client.publishAsync(up(clientId), 'hello', { qos: 1 })
    expect(await message(listener, 'hello')).toMatchObject({ topic: up(clientId), qos: 0 })
    listener.publish(ctl(clientId), 'admit')
    listener.publish(dn(clientId), 'welcome')
    expect(await received).toEqual([dn(clientId), 'welcome'])
    await client.endAsync()
    listener.socket.destroy()
  })

  test('tells its counters and its health', async () => {
    const get = async (path: string) => {
      const response = await fetch(`http://127.0.0.1:${program.metricsPort}${path}`)
      return [response.status, await response.text()] as const
    }
    await expect
      .poll(() => get('/healthz'))
      .toEqual([503, 'nobody is subscribed on the local socket\n'])
    const listener = await agent(program)
    expect(await get('/healthz')).toEqual([200, 'ok\n'])
    const stranger = await open(program)
    await greet(stranger, { clientId: 'no channel id' })
    const [, text] = await get('/metrics')
    expect(text).toContain('fogmeter_broker_agents 1')
    expect(text).toContain('fogmeter_broker_refused_total{reason="client-id"} 1')
    expect(text).not.toContain('127.0.0.1')
    listener.socket.destroy()
  })
})

test('SIGTERM ends it in order, with clients connected', async () => {
  const program = await startProgram()
  const clients = [await agent(program), await meter(program)]
  program.child.kill('SIGTERM')
  expect(await program.ended).toBe(0)
  await Promise.all(clients.map(({ closed }) => closed))
  expect(existsSync(program.socket)).toBe(false)
  await program.stop()
})

function start(socket: string) {
  return createBroker({ node: NODE, listen: [], socket, clock: systemClock })
}

describe('the local socket', () => {
  test('is for the group, not for everyone', async () => {
    const target = await startHere()
    expect(statSync(target.socket).mode & 0o777).toBe(0o660)
    await target.stop()
  })

  test.each([
    ['publish up', (cid: string) => ({ publish: up(cid) })],
    ['publish outside', () => ({ publish: 'x/y' })],
    ['subscribe to everything', () => ({ subscribe: '#' })],
    ['subscribe down', (cid: string) => ({ subscribe: dn(cid) })],
  ] as const)('may not %s', async (_, act) => {
    const target = await startHere()
    const client = await agent(target)
    const action: { publish?: string; subscribe?: string } = act(newChannelId())
    if (action.publish !== undefined) client.publish(action.publish, 'x')
    if (action.subscribe !== undefined) void subscribe(client, action.subscribe)
    expect(await client.closed).toBeNull()
    await target.stop()
  })

  test('a client there cannot pass for a channel, nor keep a session', async () => {
    const target = await startHere()
    expect(await greet(await open(target, 'local'), { clientId: newChannelId() })).toBe(2)
    expect(await greet(await open(target, 'local'), { clientId: 'node-x', clean: false })).toBe(5)
    await target.stop()
  })

  test('a restarted agent replaces its predecessor', async () => {
    const target = await startHere()
    const first = await open(target, 'local')
    expect(await greet(first, { clientId: 'node-x' })).toBe(0)
    expect(await greet(await open(target, 'local'), { clientId: 'node-x' })).toBe(0)
    expect(await first.closed).toBeNull()
    await target.stop()
  })

  test('a file left by a crashed broker is replaced', async () => {
    const socket = join(folder, 'stale.sock')
    // A process that ends without closing leaves its socket file behind.
    const script = `require('net').createServer().listen(${JSON.stringify(socket)}, () => process.kill(process.pid, 'SIGKILL'))`
    spawnSync(process.execPath, ['-e', script])
    expect(statSync(socket).isSocket()).toBe(true)
    const broker = await start(socket)
    await broker.close()
  })

  test('a living broker is not replaced, nor a file of another kind', async () => {
    const socket = join(folder, 'busy.sock')
    const other = createServer().listen(socket)
    await once(other, 'listening')
    expect(await start(socket).catch(codeOf)).toBe('broker/socket')
    other.close()
    const file = join(folder, 'precious.txt')
    writeFileSync(file, 'keep me')
    expect(await start(file).catch(codeOf)).toBe('broker/socket')
    expect(readFileSync(file, 'utf8')).toBe('keep me')
    expect(await start(join(folder, 'x'.repeat(120))).catch(codeOf)).toBe('broker/socket')
  })
})

test('a port in use is a coded error, and nothing stays open', async () => {
  const first = await startHere()
  const socket = join(folder, 'second.sock')
  const listen = [{ tls: false, host: '127.0.0.1', port: first.port }]
  const started = createBroker({ node: NODE, listen, socket, clock: systemClock })
  expect(await started.catch(codeOf)).toBe('broker/listen')
  expect(existsSync(socket)).toBe(false)
  await first.stop()
})

const hasOpenssl = spawnSync('openssl', ['version']).status === 0

describe.skipIf(!hasOpenssl)('TLS', () => {
  const [key, cert] = [join(folder, 'tls.key'), join(folder, 'tls.crt')]
  let program: BrokerProgram

  beforeAll(async () => {
    const subject = [
      '-subj',
      '/CN=localhost',
      '-addext',
      'subjectAltName=DNS:localhost',
      '-days',
      '2',
    ]
    const files = ['-keyout', key, '-out', cert]
    const kind = ['-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']
    const made = spawnSync('openssl', ['req', ...kind, ...files, ...subject])
    if (made.status !== 0) throw new Error(made.stderr.toString())
    program = await startProgram({
      listen: ['mqtts://127.0.0.1:0', 'mqtt://127.0.0.1:0'],
      more: `tls = { key = "${key}", cert = "${cert}" }`,
      limits: { connections_per_address: 4, connect_timeout_ms: 300 },
    })
  })
  afterAll(() => program.stop())

  const openTls = async () => {
    const ca = readFileSync(cert)
    const socket = connectTls({
      port: program.port,
      host: '127.0.0.1',
      servername: 'localhost',
      ca,
    })
    const client = rawClient(socket)
    await Promise.race([once(socket, 'secureConnect').catch(() => null), client.closed])
    return client
  }

  test('carries messages, by the same rules', async () => {
    const [listener, client] = [await agent(program), await openTls()]
    expect(await greet(client)).toBe(0)
    client.publish(up(client.cid), 'sealed twice')
    expect(await message(listener, 'sealed twice')).not.toBeNull()
    client.publish(up('AAAAAAAA'), 'forged')
    expect(await client.closed).toBeNull()
    const large = await openTls()
    large.write(Uint8Array.of(0x10, 0xff, 0xff, 0xff, 0x7f))
    expect(await large.closed).toBeNull()
    listener.socket.destroy()
  })

  test('a handshake that never comes is not waited for', async () => {
    const silent = rawClient(connect(program.port, '127.0.0.1'))
    expect(await silent.closed).toBeNull()
  })

  test('plain MQTT on that port is refused', async () => {
    expect(await refused(program.port)).toBe(true)
  })

  const host = '127.0.0.1'
  const callers: [string, (port: number) => Socket][] = [
    ['that does not trust us', (port) => connectTls({ port, host, servername: 'localhost' })],
    ['that speaks no TLS', (port) => connect(port, host).end('good day')],
    ['that hangs up', (port) => connect(port, host).end()],
  ]

  test.each(callers)('a client %s is logged with its address', async (_, call) => {
    const said = Promise.withResolvers<object>()
    const log = { info: () => undefined, error: () => undefined, warn: said.resolve }
    const files = { key: readFileSync(key, 'utf8'), cert: readFileSync(cert, 'utf8') }
    const listen = [{ tls: true, host, port: 0 }]
    const socket = join(folder, 'logged.sock')
    const clock = systemClock
    const broker = await createBroker({ node: NODE, listen, tls: files, socket, clock, log })
    const port = broker.ports[0] ?? 0
    const good = connectTls({ port, host, servername: 'localhost', ca: files.cert })
    await once(good, 'secureConnect')
    good.destroy() // is no refusal
    call(port).on('error', () => undefined)
    const address = host
    expect(await said.promise).toEqual({ event: 'refused', reason: 'tls', address, times: 1 })
    await broker.close()
  })

  test('limits count both listeners together', async () => {
    const plain = { ...program, port: program.ports[1] ?? 0 }
    const clients = [await meter(plain), await meter(plain), await openTls(), await openTls()]
    expect(await greet(clients[2] ?? (await openTls()))).toBe(0)
    expect(await refused(plain.port)).toBe(true)
    const fifth = await openTls()
    expect(await greet(fifth)).toBeNull()
    for (const { socket } of clients) socket.destroy()
    await Promise.all(clients.map(({ closed }) => closed))
    // The broker hears of the four ends a little after we do; until then it goes on refusing.
    for (;;) {
      const later = await openTls()
      const answer = await greet(later)
      later.socket.destroy()
      if (answer === 0) break
    }
  })

  test('a key that does not fit its certificate is a coded error', async () => {
    const listen = [{ tls: true, host: '127.0.0.1', port: 0 }]
    const tls = { key: 'no key', cert: readFileSync(cert, 'utf8') }
    const socket = join(folder, 'tls.sock')
    const started = createBroker({ node: NODE, listen, tls, socket, clock: systemClock })
    expect(await started.catch(codeOf)).toBe('broker/tls')
  })
})
