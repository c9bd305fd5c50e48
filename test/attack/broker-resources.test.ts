import { readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { generate, type Packet } from 'mqtt-packet'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { without, type BrokerLimits, type RuleName } from '#broker'
import {
  ctl,
  dn,
  startHere,
  startProgram,
  up,
  type BrokerProgram,
  type Target,
} from '../support/broker.ts'
import { agent, greet, message, meter, open, type RawClient } from '../support/raw-mqtt.ts'
import { seededRandom } from '../support/random.ts'

/** Attacks on time, memory and attention. As in broker.test.ts, each is tried with and without its rule. */

let shipped: BrokerProgram
beforeAll(async () => {
  shipped = await startProgram()
})
afterAll(() => shipped.stop())

async function succeedsWithout(
  rules: RuleName[],
  run: (target: Target) => Promise<boolean>,
  limits: Partial<BrokerLimits> = {},
): Promise<boolean> {
  const weakened = await startHere({ rules: without(...rules), limits })
  try {
    return await run(weakened)
  } finally {
    await weakened.stop()
  }
}

const MEGABYTE = 1_048_576

/** True when the broker keeps such a connection and takes what belongs to the packet. */
async function claims(target: Target): Promise<boolean> {
  const clients = await Promise.all(Array.from({ length: 50 }, () => open(target)))
  for (const client of clients) {
    client.write(Uint8Array.of(0x10, 0xff, 0xff, 0xff, 0x7f))
    client.write(Buffer.alloc(MEGABYTE))
  }
  const all = Promise.all(clients.map(({ closed }) => closed))
  await Promise.race([all, delay(1_000)])
  const kept = clients.filter((client) => !client.isClosed()).length
  for (const { socket } of clients) socket.destroy()
  return kept > 0
}

describe('claiming 256 MiB before saying who one is', () => {
  test('fails, and costs no memory to speak of', async () => {
    const before = residentBytes(shipped)
    expect(await claims(shipped)).toBe(false)
    expect(residentBytes(shipped) - before).toBeLessThan(32 * MEGABYTE)
  })

  test('succeeds without the size rule', async () => {
    expect(await succeedsWithout(['packet-size', 'packet-rate'], claims)).toBe(true)
  })
})

function residentBytes({ child }: BrokerProgram): number {
  const status = readFileSync(`/proc/${child.pid}/status`, 'utf8')
  return 1_024 * Number(/VmRSS:\s+(\d+)/.exec(status)?.[1])
}

/** An admitted client that says nothing: its keep-alive of 1 s runs out after 1.5 s. */
async function silentMember(target: Target): Promise<RawClient> {
  const [listener, silent] = [await agent(target), await open(target)]
  await greet(silent, { keepalive: 1 })
  listener.publish(ctl(silent.cid), 'admit')
  void silent.closed.then(() => listener.socket.destroy())
  return silent
}

/** True when half a CONNECT outlives a silent member. */
async function dawdles(target: Target): Promise<boolean> {
  const dawdler = await open(target)
  dawdler.write(Uint8Array.of(0x10))
  await (
    await silentMember(target)
  ).closed
  const outlived = !dawdler.isClosed()
  dawdler.socket.destroy()
  return outlived
}

/** True when a client without handshake outlives a silent member. */
async function stays(target: Target): Promise<boolean> {
  const stranger = await open(target)
  await greet(stranger)
  await (
    await silentMember(target)
  ).closed
  const stayed = !stranger.isClosed()
  stranger.socket.destroy()
  return stayed
}

describe('saying nothing', () => {
  test('a slow CONNECT fails', async () => {
    const program = await startProgram({ limits: { connect_timeout_ms: 150 } })
    expect(await dawdles(program)).toBe(false)
    await program.stop()
  })

  test('a slow CONNECT succeeds without connect-timeout', async () => {
    expect(await succeedsWithout(['connect-timeout'], dawdles, { connectTimeoutMs: 150 })).toBe(
      true,
    )
  })

  test('no handshake fails', async () => {
    const program = await startProgram({ limits: { admit_timeout_ms: 300 } })
    expect(await stays(program)).toBe(false)
    await program.stop()
  })

  test('no handshake succeeds without admission', async () => {
    expect(await succeedsWithout(['admission'], stays, { admitTimeoutMs: 300 })).toBe(true)
  })

  test('an admitted client stays, one the agent drops does not', async () => {
    const target = await startHere({ limits: { admitTimeoutMs: 300 } })
    const listener = await agent(target)
    const [member, stranger] = [await meter(target), await meter(target)]
    listener.publish(ctl(member.cid), 'admit')
    await stranger.closed
    listener.publish(dn(member.cid), 'still here')
    expect(await message(member, 'still here')).not.toBeNull()
    listener.publish(ctl(member.cid), 'drop')
    await member.closed
    expect(target.broker.counters()).toMatchObject({ admitted: 1, waiting: 0 })
    expect(Object.fromEntries(target.broker.counters().refused)).toEqual({
      admission: 1,
      'dropped-by-agent': 1,
    })
    await target.stop()
  })
})

/** True when it keeps a message from another meter for as long as it likes. */
async function freezes(target: Target): Promise<boolean> {
  const [listener, frozen, other] = [await agent(target), await meter(target), await meter(target)]
  frozen.socket.pause()
  const large = 'x'.repeat(4_000)
  for (let i = 0; i < 4_000; i++) listener.publish(dn(frozen.cid), large)
  listener.publish(dn(other.cid), 'for another')
  const arrived = message(other, 'for another').then(() => 'arrived' as const)
  const stalled = (await Promise.race([arrived, delay(3_000, 'late' as const)])) === 'late'
  // If it was this meter, then its reading again lets the message through.
  frozen.socket.resume()
  await arrived
  for (const { socket } of [listener, frozen, other]) socket.destroy()
  return stalled
}

describe('a meter that does not read', () => {
  test('holds up nobody', async () => {
    expect(await freezes(shipped)).toBe(false)
  })

  test('holds up everybody without slow-reader', async () => {
    expect(await succeedsWithout(['slow-reader'], freezes)).toBe(true)
  })

  test('is disconnected when its time is up, even if its buffer is not full', async () => {
    const target = await startHere({ limits: { drainTimeoutMs: 200 } })
    const [listener, frozen] = [await agent(target), await meter(target)]
    frozen.socket.pause()
    // Little by little, so that the broker's own buffer for it stays below its bound.
    const gone = () => target.broker.counters().refused.get('slow-reader') === 1
    while (!gone()) {
      for (let i = 0; i < 8; i++) listener.publish(dn(frozen.cid), 'x'.repeat(4_000))
      await delay(1)
    }
    expect(target.broker.counters().connections).toBe(0)
    listener.socket.destroy()
    await target.stop()
  })
})

/** True when a fourth client is served while three others are. */
async function crowds(target: Target): Promise<boolean> {
  const first = [await meter(target), await meter(target), await meter(target)]
  const fourth = await open(target)
  const code = await greet(fourth)
  for (const { socket } of [...first, fourth]) socket.destroy()
  return code === 0
}

describe('too many connections', () => {
  const limits = { connectionsPerAddress: 3, connections: 3 }

  test.each(['connections', 'connections_per_address'])('fail by %s', async (key) => {
    const program = await startProgram({ limits: { [key]: 3 } })
    expect(await crowds(program)).toBe(false)
    // The places are free again.
    await expect.poll(async () => greet(await open(program))).toBe(0)
    await program.stop()
  })

  test('succeed without the two rules', async () => {
    const rules: RuleName[] = ['connections', 'connections-per-address']
    expect(await succeedsWithout(rules, crowds, limits)).toBe(true)
    for (const rule of rules) expect(await succeedsWithout([rule], crowds, limits)).toBe(false)
  })
})

test('a meter in a hurry is slowed down, not thrown out, and loses nothing', async () => {
  const target = await startHere({ limits: { packetsPerSecond: 100 } })
  const [listener, hasty] = [await agent(target), await meter(target)]
  // The bucket holds 200; the last messages have to wait for new credit.
  for (let i = 0; i < 250; i++) hasty.publish(up(hasty.cid), `message ${i}`)
  for (let i = 250; i < 300; i++) {
    await delay(1)
    hasty.publish(up(hasty.cid), `message ${i}`)
  }
  expect(await message(listener, 'message 299')).not.toBeNull()
  expect(listener.received.filter(({ cmd }) => cmd === 'publish')).toHaveLength(300)
  expect(target.broker.counters().throttled).toBeGreaterThan(0)
  for (const { socket } of [listener, hasty]) socket.destroy()
  await target.stop()
})

const SEED = Number(process.env['FOGMETER_SEED'] ?? 20_261_124)
const PACKETS = 20_000
const PER_CONNECTION = 20

/** One connection's worth of nonsense, after a proper CONNECT in two of three cases. */
async function mangle(target: Target, random: () => number): Promise<void> {
  const client = await open(target, random() < 0.1 ? 'local' : 'network')
  if (random() < 0.67) {
    const name = random() < 0.5 ? client.cid : `node-${client.cid}`
    await greet(client, { clientId: name })
  }
  const packets = Array.from({ length: PER_CONNECTION }, () => mutated(client, random))
  // A few packets a write, so that those after a refused one are not all for nothing.
  client.socket.end(Buffer.concat(packets))
  await client.closed
}

function mutated(client: RawClient, random: () => number): Buffer {
  const bytes = Buffer.from(generate(sample(client, random), { protocolVersion: 4 }))
  for (let n = Math.floor(random() * 3); n > 0; n--) {
    bytes[Math.floor(random() * bytes.length)] = Math.floor(random() * 256)
  }
  return random() < 0.1 ? bytes.subarray(0, Math.floor(random() * bytes.length)) : bytes
}

function sample({ cid }: RawClient, random: () => number): Packet {
  const samples: Packet[] = [
    { cmd: 'publish', topic: up(cid), payload: 'x', qos: 0, dup: false, retain: false },
    {
      cmd: 'publish',
      topic: up(cid),
      payload: 'x',
      qos: 1,
      messageId: 1,
      dup: true,
      retain: false,
    },
    { cmd: 'subscribe', messageId: 2, subscriptions: [{ topic: dn(cid), qos: 1 }] },
    { cmd: 'unsubscribe', messageId: 3, unsubscriptions: [dn(cid)] },
    { cmd: 'puback', messageId: 4 },
    { cmd: 'pubrel', messageId: 5 },
    { cmd: 'pingreq' },
    {
      cmd: 'connect',
      protocolId: 'MQTT',
      protocolVersion: 4,
      clean: true,
      clientId: cid,
      keepalive: 9,
    },
  ]
  return samples[Math.floor(random() * samples.length)] as Packet
}

describe('malformed packets', () => {
  test(`${PACKETS} of them leave the broker running (seed ${SEED})`, async () => {
    const program = await startProgram({
      limits: { packets_per_second: 1_000_000, bytes_per_second: 1_000_000_000 },
    })
    const random = seededRandom(SEED)
    let sent = 0
    while (sent < PACKETS) {
      const batch = Array.from({ length: 20 }, () => mangle(program, random))
      await Promise.all(batch)
      sent += batch.length * PER_CONNECTION
    }
    const [listener, honest] = [await agent(program), await meter(program)]
    honest.publish(up(honest.cid), 'alive')
    expect(await message(listener, 'alive')).not.toBeNull()
    for (const { socket } of [listener, honest]) socket.destroy()
    program.child.kill('SIGTERM')
    expect(await program.ended).toBe(0)
    await program.stop()
  })
})
