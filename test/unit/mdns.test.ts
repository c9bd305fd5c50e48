import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as fc from 'fast-check'
import type { Packet } from 'dns-packet'
import { afterAll, afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { fromHex, toHex } from '#bytes'
import { brokerConfig, parseConfig } from '#config'
import { announceFog, findFogs, type FoundFog } from '#mdns'
import { createLogger, createNotify } from '#service'
import { runBroker } from '../../apps/broker/run.ts'
import { loadMeterConfig } from '../../apps/meter/config.ts'
import { announcementOf, concerns, legacyAnswer } from '../../libs/mdns/answers.ts'
import { gather } from '../../libs/mdns/gather.ts'
import type { Group, GroupEvents, Sender } from '../../libs/mdns/group.ts'
import type { Interface } from '../../libs/mdns/interfaces.ts'
import { decodeMessage, encodeMessage } from '../../libs/mdns/message.ts'
import { createFinder } from '../../apps/meter/finding.ts'

const advert = { node: 'fog-1', port: 1883, unique: '0123456789ab' }
const service = '_fogmeter._tcp.local'
const instance = `fog-1 0123456789ab.${service}`
const host = 'fogmeter-0123456789ab.local'
const near = (address: string) => address.startsWith('10.')
const ask = (name: string, type = 'PTR'): Packet =>
  ({ type: 'query', questions: [{ name, type }] }) as Packet

/** What a receiver makes of it. */
function received(message: Packet): Packet {
  const decoded = decodeMessage(encodeMessage(message))
  if (decoded === null) throw new Error('not understood')
  return decoded
}

describe('messages', () => {
  test('the question for fog nodes, byte for byte', () => {
    const header = '0000 0000 0001 0000 0000 0000'
    const name = '09 5f666f676d65746572 04 5f746370 05 6c6f63616c 00'
    const bytes = fromHex(`${header}${name} 000c 0001`.replaceAll(' ', ''))
    expect(toHex(encodeMessage({ ...ask(service), id: 0 }))).toBe(toHex(bytes))
    expect(decodeMessage(bytes)?.questions).toEqual([{ name: service, type: 'PTR', class: 'IN' }])
  })

  test('what a node announces is what a meter gathers', () => {
    const label = fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9._-]{0,31}$/)
    fc.assert(
      fc.property(label, fc.integer({ min: 1, max: 65_535 }), (node, port) => {
        const message = received(announcementOf({ ...advert, node, port }, '10.0.0.7'))
        expect(gather(message, near)).toEqual([{ node, address: '10.0.0.7', port }])
      }),
    )
  })

  test('whatever arrives, it is a message or nothing, and nothing is thrown', () => {
    const whole = encodeMessage(announcementOf(advert, '10.0.0.7'))
    const changes = fc.array(fc.tuple(fc.nat(whole.length - 1), fc.nat(255)), { maxLength: 5 })
    const look = (bytes: Uint8Array) => {
      const message = decodeMessage(bytes)
      if (message === null) return
      gather(message, near)
      concerns(message, advert)
    }
    const anything = fc.property(fc.uint8Array({ maxLength: 100 }), look)
    expect(() => fc.assert(anything)).not.toThrow()
    fc.assert(
      fc.property(changes, fc.nat(whole.length), (changed, length) => {
        const bytes = Uint8Array.from(whole)
        for (const [at, value] of changed) bytes[at] = value
        look(bytes.subarray(0, length))
      }),
      { numRuns: 1_000 },
    )
  })

  test.each([
    ['more questions than it has room for', '0000 0000 ffff 0000 0000 0000'],
    ['more records than it has room for', '0000 8400 0000 ffff ffff ffff'],
    ['a name that points to itself', '0000 0000 0001 0000 0000 0000 c00c 000c 0001'],
    ['another opcode', '0000 2800 0001 0000 0000 0000 00 000c 0001'],
    ['an error code', '0000 8403 0001 0000 0000 0000 00 000c 0001'],
    ['less than a header', '0000 0000 0001'],
  ])('%s: no message', (_, hex) => {
    expect(decodeMessage(fromHex(hex.replaceAll(' ', '')))).toBeNull()
  })
})

describe('what a node answers', () => {
  test.each([
    [service, 'PTR', true],
    ['_FogMeter._TCP.local', 'PTR', true],
    [service, 'ANY', true],
    [service, 'SRV', false],
    ['_services._dns-sd._udp.local', 'PTR', true],
    [instance, 'SRV', true],
    [instance, 'TXT', true],
    [instance, 'A', false],
    [host, 'A', true],
    [host, 'AAAA', false],
    ['_http._tcp.local', 'PTR', false],
    [`fog-2 0123456789ab.${service}`, 'SRV', false],
  ])('%s %s: %s', (name, type, answered) => {
    expect(concerns(received(ask(name, type)), advert)).toBe(answered)
  })

  test('answers are no questions', () => {
    expect(concerns(received({ ...ask(service), type: 'response' }), advert)).toBe(false)
  })

  test.each([
    [120, instance, false],
    [60, instance, false],
    [59, instance, true],
    [120, `fog-2 0123456789ab.${service}`, true],
  ])('known for %i s, %s: answered %s (RFC 6762 §7.1)', (ttl, data, answered) => {
    const query: Packet = {
      ...ask(service),
      answers: [{ type: 'PTR', name: service, ttl, data }],
    }
    expect(concerns(received(query), advert)).toBe(answered)
  })

  test('a resolver that knows no multicast: its own id and question, soon forgotten (§6.7)', () => {
    const query = received({ ...ask(service), id: 4711 })
    const answer = received(legacyAnswer(query, advert, '10.0.0.7'))
    expect(answer).toMatchObject({ id: 4711, type: 'response', questions: [{ name: service }] })
    const records = answer.answers as { ttl: number; flush: boolean }[]
    expect(records.every(({ ttl, flush }) => ttl <= 10 && !flush)).toBe(true)
    expect(gather(answer, near)).toEqual([{ node: 'fog-1', address: '10.0.0.7', port: 1883 }])
  })
})

describe('what a meter believes enough to try', () => {
  const answers = announcementOf(advert, '10.0.0.7').answers ?? []
  const without = (type: string) => answers.filter((record) => record.type !== type)
  const text = (...data: string[]) => [
    ...without('TXT'),
    { type: 'TXT' as const, name: instance, ttl: 120, data },
  ]
  const one = [{ node: 'fog-1', address: '10.0.0.7', port: 1883 }]

  test.each([
    ['as announced', answers, one],
    ['without an address', without('A'), []],
    ['without a port', without('SRV'), []],
    ['without a name', without('TXT'), []],
    ['of another service', without('PTR'), []],
    ['an empty name', text('node='), []],
    ['a name that is none', text('node=fog 1'), []],
    ['keys in capitals', text('NODE=fog-1'), one],
    ['two names: the first (RFC 6763 §6.4)', text('node=fog-1', 'node=fog-2'), one],
    ['goodbye', announcementOf(advert, '10.0.0.7', 0).answers ?? [], []],
    ['port 0', announcementOf({ ...advert, port: 0 }, '10.0.0.7').answers ?? [], []],
    ['elsewhere', announcementOf(advert, '192.0.2.1').answers ?? [], []],
    ['this machine', announcementOf(advert, '127.0.0.1').answers ?? [], []],
  ])('%s', (_, records, found) => {
    expect(gather(received({ type: 'response', answers: records }), near)).toEqual(found)
  })

  test('in a question, nothing', () => {
    expect(gather(received({ type: 'query', answers }), near)).toEqual([])
  })
})

/** A network of our own: whoever has joined hears everybody, also himself. */
class FakeNetwork {
  readonly interfaces: Interface[] = []
  readonly said: { at: string; message: Packet; to: Sender | undefined }[] = []
  readonly members: { at: Interface; events: GroupEvents }[] = []
  refuse: string | null = null
  /** How many messages are lost yet. */
  lose = 0

  plug(name: string, address: string): void {
    this.interfaces.push({ name, address, isNear: near })
  }

  unplug(name: string): void {
    this.interfaces.splice(this.interfaces.findIndex((one) => one.name === name))
  }

  list = (): Interface[] => [...this.interfaces]

  join = (at: Interface, events: GroupEvents, onJoined: () => void): Group => {
    const member = { at, events }
    const { refuse } = this
    queueMicrotask(() => {
      if (refuse !== null) return events.failed(Object.assign(new Error(), { code: refuse }))
      this.members.push(member)
      onJoined()
    })
    return {
      at,
      send: (bytes, to) => {
        this.say(at.address, bytes, to)
        return Promise.resolve()
      },
      close: () => void this.members.splice(this.members.indexOf(member) >>> 0, 1),
    }
  }

  /** From somebody at this address; the group's port, unless he asks for himself. */
  say(address: string, bytes: Uint8Array, to?: Sender, port = 5353): void {
    this.said.push({ at: address, message: received(decodeMessage(bytes) as Packet), to })
    if (this.lose-- > 0 || to !== undefined) return
    for (const { events } of this.members.slice()) events.message(bytes, { address, port })
  }

  answers(): FoundFog[] {
    return this.said.flatMap(({ message }) => gather(message, () => true))
  }
}

describe('time and network', () => {
  let network = new FakeNetwork()
  const logged: object[] = []
  const clock = { now: () => Date.now(), monotonic: () => performance.now() }
  const log = { info: () => undefined, warn: (data: object) => void logged.push(data) }
  const announce = (node = 'fog-1') =>
    announceFog({
      node,
      port: 1883,
      covers: () => true,
      clock,
      random: (n) => new Uint8Array(n).fill(node.charCodeAt(4)),
      log,
      network,
    })
  const question = encodeMessage(ask(service))

  beforeEach(() => {
    vi.useFakeTimers()
    network = new FakeNetwork()
    network.plug('eth0', '10.0.0.7')
    logged.length = 0
  })
  afterEach(() => void vi.useRealTimers())

  test('says where it is twice, answers when asked, and says goodbye (RFC 6762 §8.3, §6, §10.1)', async () => {
    const announcement = announce()
    await vi.advanceTimersByTimeAsync(0)
    expect(network.answers()).toHaveLength(1)
    await vi.advanceTimersByTimeAsync(999)
    expect(network.answers()).toHaveLength(1)
    await vi.advanceTimersByTimeAsync(1)
    expect(network.answers()).toHaveLength(2)

    await vi.advanceTimersByTimeAsync(5_000)
    expect(network.answers()).toHaveLength(2)
    network.say('10.0.0.9', question)
    await vi.advanceTimersByTimeAsync(19)
    expect(network.answers()).toHaveLength(2)
    await vi.advanceTimersByTimeAsync(101)
    expect(network.answers()).toHaveLength(3)

    await announcement.close()
    const { message } = network.said.at(-1) ?? {}
    expect(message?.answers?.every((record) => record.type !== 'OPT' && record.ttl === 0)).toBe(
      true,
    )
    network.say('10.0.0.9', question)
    await vi.advanceTimersByTimeAsync(60_000)
    expect(network.answers()).toHaveLength(3)
  })

  test('however often it is asked, it answers once a second, and single askers ten times', async () => {
    announce()
    await vi.advanceTimersByTimeAsync(10_000)
    network.said.length = 0
    for (let i = 0; i < 1_000; i++) network.say('10.0.0.9', question)
    await vi.advanceTimersByTimeAsync(900)
    expect(network.answers()).toHaveLength(1)

    await vi.advanceTimersByTimeAsync(10_000)
    network.said.length = 0
    for (let i = 0; i < 100; i++) network.say('10.0.0.9', question, undefined, 40_000)
    const replies = network.said.filter(({ to }) => to?.port === 40_000)
    expect(replies).toHaveLength(10)
  })

  test('a new address is announced, and an old one taken back', async () => {
    const announcement = announce()
    await vi.advanceTimersByTimeAsync(2_000)
    network.unplug('eth0')
    network.plug('eth0', '10.0.0.8')
    network.said.length = 0
    await vi.advanceTimersByTimeAsync(10_000)
    expect(network.answers().map(({ address }) => address)).toContain('10.0.0.8')
    expect(network.answers().map(({ address }) => address)).not.toContain('10.0.0.7')
    expect(network.said.some(({ at, message }) => at === '10.0.0.7' && isGoodbye(message))).toBe(
      true,
    )
    await announcement.close()
  })

  test('what is in the way is said once, and tried again', async () => {
    network.refuse = 'EADDRINUSE'
    const announcement = announce()
    await vi.advanceTimersByTimeAsync(35_000)
    expect(logged).toEqual([expect.objectContaining({ code: 'mdns/closed', reason: 'EADDRINUSE' })])
    network.refuse = null
    await vi.advanceTimersByTimeAsync(10_000)
    expect(network.answers()).not.toEqual([])
    await announcement.close()
  })

  test('a search finds all there are, in one order, though the first question is lost', async () => {
    for (const node of ['fog-2', 'fog-1', 'fog-3']) announce(node)
    await vi.advanceTimersByTimeAsync(10_000)
    network.lose = 1
    const search = findFogs({ network })
    await vi.advanceTimersByTimeAsync(3_500)
    expect((await search).map(({ node }) => node)).toEqual(['fog-1', 'fog-2', 'fog-3'])
  })

  test('a search ends when there is enough, and with nobody when there is nobody', async () => {
    announce()
    await vi.advanceTimersByTimeAsync(10_000)
    const startMs = performance.now()
    let tookMs = 0
    const search = findFogs({ network, enough: (found) => found.length > 0 })
    const ended = search.then(() => (tookMs = performance.now() - startMs))
    await vi.advanceTimersByTimeAsync(3_400)
    await ended
    expect(tookMs).toBeLessThan(2_000)

    const empty = new FakeNetwork()
    empty.plug('eth0', '10.0.0.7')
    const none = findFogs({ network: empty })
    await vi.advanceTimersByTimeAsync(3_500)
    expect(await none).toEqual([])
  })

  test('a node that has just answered somebody else is heard too, though another was quicker', async () => {
    announce('fog-2')
    await vi.advanceTimersByTimeAsync(10_000)
    announce('fog-1') // says so now and in a second, and not in between
    await vi.advanceTimersByTimeAsync(1_001)
    const search = findFogs({ network, enough: (found) => found.length > 0 })
    await vi.advanceTimersByTimeAsync(3_500)
    expect(await search).toHaveLength(2)
  })

  test('where nobody can be asked, it says why', async () => {
    network.refuse = 'EADDRINUSE'
    const search = findFogs({ network })
    await expect(search).rejects.toMatchObject({ code: 'mdns/closed' })
    const asked = () => findFogs({ network: { list: forbidden, join: network.join } })
    expect(asked).toThrow(/AF_NETLINK/)
  })
})

/** As node:os throws where a sandbox does not let it ask. */
function forbidden(): never {
  throw Object.assign(new Error(), { info: { code: 'EAFNOSUPPORT' } })
}

function isGoodbye({ answers = [] }: Packet): boolean {
  return answers.length > 0 && answers.every((record) => record.type !== 'OPT' && record.ttl === 0)
}

describe('configurations that would be tricked', () => {
  const folder = mkdtempSync(join(tmpdir(), 'fogmeter-mdns-'))
  afterAll(() => rmSync(folder, { recursive: true }))
  const path = join(folder, 'meter.toml')
  const load = (broker: string) => {
    const identity = 'identity = { key = "m.key", credential = "m.cwt", authority = "a.pub" }'
    const rest = 'node = "fog-1"\nstore.path = "m.db"\nsource.kind = "sim"'
    writeFileSync(path, `${rest}\n${identity}\n[broker]\n${broker}\n`)
    return loadMeterConfig(path).config.broker.url
  }

  test.each(['username = "meter"', 'password_file = "p"', 'ca = "ca.pem"'])(
    'a meter does not tell whoever answers its password, nor trusts a certificate for it: %s',
    (line) => {
      expect(load('url = "mdns:"')).toBe('mdns:')
      expect(() => load(`url = "mdns:any"\n${line}`)).toThrow('give its address')
      expect(load(`url = "mqtt://10.0.0.7"\n${line}`)).toBe('mqtt://10.0.0.7')
    },
  )

  test('a broker with TLS alone announces nothing, and says so at its start', async () => {
    const text = `node = "fog-1"
      listen = ["mqtts://127.0.0.1:0"]
      tls = { key = "k", cert = "c" }
      local.socket = "b.sock"
      discovery.mdns = true`
    const config = parseConfig(brokerConfig, text, path)
    const context = { log: createLogger({ name: 'test' }), notify: createNotify(() => undefined) }
    const started = runBroker(context, config)
    await expect(started).rejects.toMatchObject({ code: 'broker/no-plain-listener' })
  })
})

describe('which of several a meter tries', () => {
  const fogs: FoundFog[] = [
    { node: 'fog-0', address: '10.0.0.5', port: 1883 },
    { node: 'fog-1', address: '10.0.0.6', port: 1883 },
    { node: 'fog-1', address: '10.0.0.7', port: 1883 },
  ]
  const finder = (url: string, found = fogs) =>
    createFinder({ url, node: 'fog-1' }, () => Promise.resolve(found))
  const names = async (one: ReturnType<typeof finder>) =>
    (await one.find()).map(({ node, url }) => `${node} ${url.slice('mqtt://10.0.0.'.length)}`)

  test('mdns: only those of its name; mdns:any: those first, then the others', async () => {
    expect(await names(finder('mdns:'))).toEqual(['fog-1 6:1883', 'fog-1 7:1883'])
    const all = ['fog-1 6:1883', 'fog-1 7:1883', 'fog-0 5:1883']
    expect(await names(finder('mdns:any'))).toEqual(all)
  })

  test('where it failed comes later, where it proved itself comes first', async () => {
    const one = finder('mdns:any')
    const [first, second] = await one.find()
    one.tried(first!, false)
    expect(await names(one)).toEqual(['fog-1 7:1883', 'fog-0 5:1883', 'fog-1 6:1883'])
    one.tried(second!, false)
    one.tried(first!, true)
    expect(await names(one)).toEqual(['fog-1 6:1883', 'fog-0 5:1883', 'fog-1 7:1883'])
    one.tried(first!, false)
    expect(await names(one)).toEqual(['fog-0 5:1883', 'fog-1 6:1883', 'fog-1 7:1883'])
  })

  test('meters of one process search together', async () => {
    let searches = 0
    const answer = Promise.withResolvers<FoundFog[]>()
    const one = createFinder({ url: 'mdns:', node: 'fog-1' }, () => {
      searches += 1
      return answer.promise
    })
    const both = Promise.all([one.find(), one.find()])
    answer.resolve(fogs)
    const [here, there] = await both
    expect(here).toEqual(there)
    expect(searches).toBe(1)
    await one.find()
    expect(searches).toBe(2)
  })
})
