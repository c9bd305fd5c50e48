import * as fc from 'fast-check'
import { generate, type Packet } from 'mqtt-packet'
import { describe, expect, test } from 'vitest'
import { allRules, FrameGuard, NO_RATE, without, type GuardLimits, type Violation } from '#broker'
import { addressKey } from '../../libs/broker/address.ts'
import { mayPublish, mayReceive, maySubscribe } from '../../libs/broker/rules.ts'
import { topicsOf } from '../../libs/broker/topics.ts'

const limits: GuardLimits = {
  connectBytes: 1_024,
  packetBytes: 4_096,
  packetsPerSecond: 200,
  bytesPerSecond: 262_144,
}
const unhurried: GuardLimits = { ...limits, packetsPerSecond: NO_RATE, bytesPerSecond: NO_RATE }

const CONNECT = Buffer.from(
  generate({
    cmd: 'connect',
    protocolId: 'MQTT',
    protocolVersion: 4,
    clean: true,
    clientId: 'AAAAAAAA',
    keepalive: 60,
  }),
)

function judge(...parts: Uint8Array[]): Violation | null {
  const guard = new FrameGuard(unhurried, allRules, 0)
  for (const part of parts) {
    const violation = guard.inspect(part, 0)
    if (violation !== null) return violation
  }
  return null
}

/** A header: first byte, then the length as MQTT writes it. */
function header(first: number, length: number): Buffer {
  const bytes = [first]
  let rest = length
  do {
    bytes.push((rest & 0x7f) | (rest > 0x7f ? 0x80 : 0))
    rest >>= 7
  } while (rest > 0)
  return Buffer.from(bytes)
}

describe('headers', () => {
  test.each<[string, Buffer, Violation | null]>([
    ['CONNECT of 1024 bytes', header(0x10, 1_024), null],
    ['CONNECT of 1025 bytes', header(0x10, 1_025), 'packet-size'],
    ['CONNECT of 256 MiB', Buffer.of(0x10, 0xff, 0xff, 0xff, 0x7f), 'packet-size'],
    ['CONNECT with flags', header(0x11, 20), 'packet-type'],
    ['PUBLISH first', header(0x30, 20), 'packet-type'],
    ['PINGREQ first', header(0xc0, 0), 'packet-type'],
    ['a request of another protocol', Buffer.from('GET / HTTP/1.1\r\n'), 'packet-type'],
    ['a TLS ClientHello', Buffer.of(0x16, 3, 1, 2, 0), 'packet-type'],
    ['a length that does not end', Buffer.of(0x10, 0x80, 0x80, 0x80, 0x80), 'packet-type'],
    ['a padded length', Buffer.of(0x10, 0x81, 0x00), 'packet-type'],
  ])('first packet: %s', (_, bytes, expected) => {
    expect(judge(bytes)).toBe(expected)
  })

  test.each<[string, Buffer, Violation | null]>([
    ['PUBLISH of 4096 bytes', header(0x30, 4_096), null],
    ['PUBLISH of 4097 bytes', header(0x30, 4_097), 'packet-size'],
    ['PUBLISH QoS 1, repeated', header(0x3a, 20), null],
    ['PUBLISH QoS 2', header(0x34, 20), 'packet-type'],
    ['PUBLISH QoS 3', header(0x36, 20), 'packet-type'],
    ['a second CONNECT', CONNECT, 'packet-type'],
    ['SUBSCRIBE', header(0x82, 20), null],
    ['SUBSCRIBE with other flags', header(0x80, 20), 'packet-type'],
    ['PUBREC', header(0x50, 2), 'packet-type'],
    ['PUBREL', header(0x62, 2), 'packet-type'],
    ['PUBCOMP', header(0x70, 2), 'packet-type'],
    ['CONNACK', header(0x20, 2), 'packet-type'],
    ['type 0', header(0x00, 0), 'packet-type'],
    ['type 15', header(0xf0, 0), 'packet-type'],
    ['PINGREQ', header(0xc0, 0), null],
    ['DISCONNECT', header(0xe0, 0), null],
  ])('later packet: %s', (_, bytes, expected) => {
    expect(judge(CONNECT, bytes)).toBe(expected)
  })

  test('a packet is judged by its length bytes, before any of its body', () => {
    const huge = Buffer.of(0x30, 0xff, 0xff, 0xff, 0x7f)
    expect(judge(CONNECT, huge.subarray(0, 2))).toBeNull()
    // 127 + 127·128 is above the limit already; the fourth byte is not waited for.
    expect(judge(CONNECT, huge.subarray(0, 3))).toBe('packet-size')
  })

  test('a rule that is left out stops nothing', () => {
    const guard = new FrameGuard(unhurried, without('packet-size', 'packet-type'), 0)
    expect(guard.inspect(Buffer.of(0x34, 0xff, 0xff, 0xff, 0x7f), 0)).toBeNull()
  })
})

const later: fc.Arbitrary<Packet> = fc.oneof(
  fc.record({
    cmd: fc.constant('publish' as const),
    topic: fc.constant('fm/1/fog-1/up/AAAAAAAA'),
    payload: fc.uint8Array({ maxLength: 4_000 }).map((bytes) => Buffer.from(bytes)),
    qos: fc.constantFrom(0 as const, 1 as const),
    messageId: fc.integer({ min: 1, max: 65_535 }),
    dup: fc.constant(false),
    retain: fc.boolean(),
  }),
  fc.constant<Packet>({ cmd: 'pingreq' }),
  fc.constant<Packet>({ cmd: 'puback', messageId: 1 }),
  fc.constant<Packet>({
    cmd: 'subscribe',
    messageId: 1,
    subscriptions: [{ topic: 'fm/1/fog-1/dn/AAAAAAAA', qos: 0 }],
  }),
)

/** The same bytes in pieces of the given sizes, over and over. */
function* pieces(bytes: Uint8Array, sizes: readonly number[]): Generator<Uint8Array> {
  let at = 0
  for (let i = 0; at < bytes.length; i++) {
    const size = sizes[i % sizes.length] ?? 1
    yield bytes.subarray(at, at + size)
    at += size
  }
}

const sizes = fc.array(fc.integer({ min: 1, max: 700 }), { minLength: 1, maxLength: 20 })

describe('streams', () => {
  test('what an ordinary client sends passes, however it is cut', () => {
    fc.assert(
      fc.property(fc.array(later, { maxLength: 12 }), sizes, (packets, cuts) => {
        const stream = Buffer.concat([CONNECT, ...packets.map((packet) => generate(packet))])
        expect(judge(...pieces(stream, cuts))).toBeNull()
      }),
    )
  })

  test('a bad packet after good ones is found, however it is cut', () => {
    const bad = fc.constantFrom(header(0x34, 9), header(0x30, 5_000), header(0x10, 5))
    fc.assert(
      fc.property(fc.array(later, { maxLength: 6 }), bad, sizes, (packets, last, cuts) => {
        const good = packets.map((packet) => generate(packet))
        const stream = Buffer.concat([CONNECT, ...good, last])
        expect(judge(...pieces(stream, cuts))).toBe(judge(stream))
        expect(judge(stream)).not.toBeNull()
      }),
    )
  })

  test('any bytes get one verdict, however they are cut, and never an exception', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 300 }),
        sizes,
        fc.boolean(),
        (bytes, cuts, greeted) => {
          const stream = greeted ? Buffer.concat([CONNECT, bytes]) : bytes
          expect(judge(...pieces(stream, cuts))).toBe(judge(stream))
        },
      ),
    )
  })
})

const PING = Buffer.of(0xc0, 0x00)

function pings(count: number): Buffer {
  return Buffer.concat(Array.from({ length: count }, () => PING))
}

function connected(): FrameGuard {
  const guard = new FrameGuard(limits, allRules, 0)
  guard.inspect(CONNECT, 0)
  return guard
}

describe('rates, with a clock that is only a number', () => {
  test('two seconds’ worth at once is fine, one more waits', () => {
    const guard = connected()
    expect(guard.inspect(pings(399), 0)).toBeNull()
    expect(guard.waitMs).toBe(0)
    expect(guard.inspect(pings(1), 0)).toBeNull()
    expect(guard.waitMs).toBe(5)
    guard.inspect(new Uint8Array(0), 5)
    expect(guard.waitMs).toBe(0)
  })

  test('steady traffic at the rate never waits', () => {
    const guard = connected()
    for (let ms = 0; ms < 60_000; ms += 5) {
      expect(guard.inspect(PING, ms)).toBeNull()
      expect(guard.waitMs).toBe(0)
    }
  })

  test('silence does not save up more than a bucket', () => {
    const guard = connected()
    expect(guard.inspect(pings(401), 3_600_000)).toBeNull()
    expect(guard.waitMs).toBeGreaterThan(0)
  })

  test('ten seconds of debt are a flood', () => {
    expect(connected().inspect(pings(2_399), 0)).toBeNull()
    expect(connected().inspect(pings(2_400), 0)).toBe('packet-rate')
  })

  test('bytes count too', () => {
    const guard = connected()
    const large = Buffer.concat([header(0x30, 4_096), Buffer.alloc(4_096)])
    for (let i = 0; i < 129; i++) expect(guard.inspect(large, 0)).toBeNull()
    expect(guard.waitMs).toBeGreaterThan(0)
    const many = Array.from({ length: 64 }, () => large)
    let verdict: Violation | null = null
    for (let i = 0; i < 20 && verdict === null; i++) verdict = guard.inspect(Buffer.concat(many), 0)
    expect(verdict).toBe('packet-rate')
  })

  test('a clock that steps back gives no credit and takes none', () => {
    const guard = new FrameGuard(limits, allRules, 10_000)
    guard.inspect(CONNECT, 10_000)
    guard.inspect(pings(399), 10_000)
    expect(guard.inspect(PING, 9_000)).toBeNull()
    expect(guard.waitMs).toBe(5)
  })
})

describe('who may use which topic', () => {
  const topics = topicsOf('fog-1')
  const client = { local: false, clientId: 'AAAAAAAA' }
  const agent = { local: true, clientId: 'node-x' }

  test.each([
    ['fm/1/fog-1/up/AAAAAAAA', true, false],
    ['fm/1/fog-1/up/BBBBBBBB', false, false],
    ['fm/1/fog-1/dn/AAAAAAAA', false, true],
    ['fm/1/fog-1/dn/short', false, false],
    ['fm/1/fog-1/ctl/AAAAAAAA', false, true],
    ['fm/1/fog-2/up/AAAAAAAA', false, false],
    ['fm/1/fog-1/up/AAAAAAAA/', false, false],
    ['$SYS/x', false, false],
    ['', false, false],
  ])('publish to %s: network %s, agent %s', (topic, network, local) => {
    expect(mayPublish(client, topic, topics)).toBe(network)
    expect(mayPublish(agent, topic, topics)).toBe(local)
  })

  test.each([
    ['fm/1/fog-1/dn/AAAAAAAA', true, false],
    ['fm/1/fog-1/dn/BBBBBBBB', false, false],
    ['fm/1/fog-1/dn/+', false, false],
    ['fm/1/fog-1/up/#', false, true],
    ['fm/1/+/up/#', false, false],
    ['#', false, false],
    ['$share/g/fm/1/fog-1/up/#', false, false],
  ])('subscribe to %s: network %s, agent %s', (filter, network, local) => {
    expect(maySubscribe(client, filter, topics)).toBe(network)
    expect(maySubscribe(agent, filter, topics)).toBe(local)
  })

  test('a client that has not said who it is may do nothing', () => {
    const nobody = { local: false, clientId: null }
    for (const topic of ['fm/1/fog-1/up/null', 'fm/1/fog-1/dn/null', 'fm/1/fog-1/up/']) {
      expect(mayPublish(nobody, topic, topics)).toBe(false)
      expect(maySubscribe(nobody, topic, topics)).toBe(false)
      expect(mayReceive(nobody, topic, topics)).toBe(false)
    }
  })
})

test.each([
  ['192.0.2.7', '192.0.2.7'],
  ['::ffff:192.0.2.7', '192.0.2.7'],
  ['2001:db8:1:2:aaaa::1', '2001:db8:1:2::/64'],
  ['2001:db8:1:2:bbbb:cccc:dddd:eeee', '2001:db8:1:2::/64'],
  ['2001:db8::1', '2001:db8:0:0::/64'],
  ['fe80::1%eth0', 'fe80:0:0:0::/64'],
  ['::1', '0:0:0:0::/64'],
])('the address %s counts as %s', (address, key) => {
  expect(addressKey(address)).toBe(key)
})
