import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { without, type BrokerLimits, type RuleName } from '#broker'
import {
  ctl,
  dn,
  newChannelId,
  startHere,
  startProgram,
  up,
  type BrokerProgram,
  type Target,
} from '../support/broker.ts'
import {
  agent,
  greet,
  hasMessage,
  message,
  meter,
  open,
  settleUp,
  subscribe,
  type RawClient,
} from '../support/raw-mqtt.ts'

/**
 * Each attack is tried twice: on the program as it is shipped, where it must fail, and on a broker
 * without the rules named beside it, where it must succeed; so it is these rules that stop it.
 */
interface Attack {
  name: string
  stoppedBy: RuleName[]
  limits?: Partial<BrokerLimits>
  /** True when the attacker got what it wanted. */
  run: (target: Target) => Promise<boolean>
}

const connects = (changes: Parameters<typeof greet>[1]) => async (target: Target) => {
  const client = await open(target)
  const code = await greet(client, changes)
  client.socket.destroy()
  return code === 0
}

/** Subscribes and reports whether that was granted. */
const subscribes =
  (...filters: ((victim: string, own: string) => string)[]) =>
  async (target: Target) => {
    const victim = await meter(target)
    const attacker = await open(target)
    await greet(attacker)
    const names = filters.map((filter) => filter(victim.cid, attacker.cid))
    const granted = await subscribe(attacker, ...names)
    closeAll(victim, attacker)
    return granted?.some((qos) => qos < 128) ?? false
  }

/** Subscribes to what is meant for the agent and for another meter, and listens. */
async function eavesdrops(target: Target): Promise<boolean> {
  const [listener, victim, attacker] = [
    await agent(target),
    await meter(target),
    await open(target),
  ]
  await greet(attacker)
  await subscribe(attacker, '#')
  victim.publish(up(victim.cid), 'up secret')
  await message(listener, 'up secret')
  listener.publish(dn(victim.cid), 'down secret')
  await message(victim, 'down secret')
  if (!attacker.isClosed()) await answered(attacker)
  closeAll(listener, victim, attacker)
  return hasMessage(attacker, 'up secret') && hasMessage(attacker, 'down secret')
}

/** Publishes to a topic and reports whether the victim (agent or meter) got it. */
const injects =
  (topic: (victim: string) => string, reader: 'agent' | 'victim') => async (target: Target) => {
    const [listener, victim, attacker] = [
      await agent(target),
      await meter(target),
      await open(target),
    ]
    await greet(attacker)
    attacker.publish(topic(victim.cid), 'forged')
    await answered(attacker)
    await settleUp(target, listener)
    listener.publish(dn(victim.cid), 'after')
    await message(victim, 'after')
    const got = hasMessage(reader === 'agent' ? listener : victim, 'forged')
    closeAll(listener, victim, attacker)
    return got
  }

/** Publishes something that would make the broker disconnect the victim. */
const kicks =
  (topic: (victim: string) => string, payload: (victim: string) => string) =>
  async (target: Target) => {
    const [listener, victim, attacker] = [
      await agent(target),
      await meter(target),
      await open(target),
    ]
    await greet(attacker)
    attacker.publish(topic(victim.cid), payload(victim.cid))
    await answered(attacker)
    await settleUp(target, listener)
    const kicked = !(await answered(victim))
    closeAll(listener, victim, attacker)
    return kicked
  }

async function takesOver(target: Target): Promise<boolean> {
  const victim = await meter(target)
  const attacker = await open(target)
  await greet(attacker, { clientId: victim.cid })
  const kicked = !(await answered(victim))
  closeAll(victim, attacker)
  return kicked
}

/** Two at once: the second CONNECT is under way before the first is answered. */
async function takesOverInARace(target: Target): Promise<boolean> {
  const clientId = newChannelId()
  const [first, second] = [await open(target), await open(target)]
  const codes = await Promise.all([greet(first, { clientId }), greet(second, { clientId })])
  closeAll(first, second)
  return codes.filter((code) => code === 0).length === 2
}

async function plantsRetained(target: Target): Promise<boolean> {
  const first = await agent(target)
  const attacker = await meter(target)
  attacker.publish(up(attacker.cid), 'for ever', { retain: true })
  await answered(attacker)
  await settleUp(target, first)
  const later = await agent(target)
  await settleUp(target, later)
  closeAll(first, later, attacker)
  return hasMessage(later, 'for ever')
}

async function opensQos2(target: Target): Promise<boolean> {
  const attacker = await meter(target)
  attacker.publish(up(attacker.cid), 'half open', { qos: 2 })
  const answer = await attacker.get(({ cmd }) => cmd === 'pubrec')
  attacker.socket.destroy()
  return answer !== null
}

async function sendsLargePacket(target: Target): Promise<boolean> {
  const listener = await agent(target)
  const attacker = await meter(target)
  const large = 'x'.repeat(4_100)
  attacker.publish(up(attacker.cid), large)
  await answered(attacker)
  await settleUp(target, listener)
  closeAll(listener, attacker)
  return hasMessage(listener, large)
}

/** Many small packets in one write, far more than a meter has a use for. */
async function floods(target: Target): Promise<boolean> {
  const attacker = await meter(target)
  const count = 5_000
  const burst = Buffer.alloc(2 * count)
  for (let i = 0; i < count; i++) burst.writeUInt16BE(0xc000, 2 * i)
  attacker.write(burst)
  // CONNACK, SUBACK and an answer to each ping.
  const all = () => attacker.received.length === 2 + count
  await attacker.get(all)
  attacker.socket.destroy()
  return all()
}

/** True when the connection still answers. */
async function answered(client: RawClient): Promise<boolean> {
  const before = client.received.filter(({ cmd }) => cmd === 'pingresp').length
  client.send({ cmd: 'pingreq' })
  const pongs = () => client.received.filter(({ cmd }) => cmd === 'pingresp').length
  await client.get(() => pongs() > before)
  return pongs() > before
}

function closeAll(...clients: RawClient[]): void {
  for (const { socket } of clients) socket.destroy()
}

const will = { topic: up('AAAAAAAA'), payload: Buffer.from('dead'), qos: 0, retain: true } as const

const attacks: Attack[] = [
  {
    name: 'MQTT 3.1',
    stoppedBy: ['protocol-version'],
    run: connects({ protocolId: 'MQIsdp', protocolVersion: 3 }),
  },
  ...['', 'sensor', '__proto__', 'AAAA/AAA', 'AAAAAA+#', 'AAAAAAAAA', `node-${'A'.repeat(8)}`].map(
    (clientId) => ({
      name: `client id ${JSON.stringify(clientId)}`,
      stoppedBy: ['client-id' as const],
      run: connects({ clientId }),
    }),
  ),
  { name: 'take over a live connection', stoppedBy: ['no-takeover'], run: takesOver },
  { name: 'take over in a race', stoppedBy: ['no-takeover'], run: takesOverInARace },
  {
    name: 'a session that persists',
    stoppedBy: ['clean-session'],
    run: connects({ clean: false }),
  },
  { name: 'a will', stoppedBy: ['no-will'], run: connects({ will }) },
  { name: 'no keep-alive', stoppedBy: ['keepalive'], run: connects({ keepalive: 0 }) },
  { name: 'an endless keep-alive', stoppedBy: ['keepalive'], run: connects({ keepalive: 65_535 }) },
  {
    name: 'publish as another meter',
    stoppedBy: ['publish-own-topic'],
    run: injects(up, 'agent'),
  },
  {
    name: 'publish below another meter',
    stoppedBy: ['publish-own-topic'],
    run: injects((victim) => `${up(victim)}/x`, 'agent'),
  },
  {
    name: 'publish to another meter',
    stoppedBy: ['publish-own-topic'],
    run: injects(dn, 'victim'),
  },
  {
    name: 'have the broker close another client by $SYS',
    stoppedBy: ['publish-own-topic'],
    run: kicks(
      () => '$SYS/elsewhere/new/clients',
      (victim) => victim,
    ),
  },
  {
    name: 'drop another client by its control topic',
    stoppedBy: ['publish-own-topic', 'control-local-only'],
    run: kicks(ctl, () => 'drop'),
  },
  ...[
    '#',
    '+/+/+/+/+',
    `fm/1/fog-1/up/#`,
    `fm/1/fog-1/dn/+`,
    '$SYS/#',
    '$share/g/fm/1/fog-1/up/#',
  ].map((filter) => ({
    name: `subscribe to ${filter}`,
    stoppedBy: ['subscribe-own-topic' as const],
    run: subscribes(() => filter),
  })),
  { name: 'subscribe to another meter', stoppedBy: ['subscribe-own-topic'], run: subscribes(dn) },
  {
    name: 'subscribe to another meter beside the own topic',
    stoppedBy: ['subscribe-own-topic'],
    run: subscribes((_, own) => dn(own), dn),
  },
  {
    name: 'read what others send and get',
    stoppedBy: ['subscribe-own-topic', 'forward-own-topic'],
    run: eavesdrops,
  },
  { name: 'plant a retained message', stoppedBy: ['no-retain'], run: plantsRetained },
  { name: 'begin QoS 2', stoppedBy: ['packet-type'], run: opensQos2 },
  { name: 'a packet above 4 KiB', stoppedBy: ['packet-size'], run: sendsLargePacket },
  { name: 'a flood of pings', stoppedBy: ['packet-rate'], run: floods },
]

describe.each(attacks)('$name', ({ run, stoppedBy, limits = {} }) => {
  test('fails on the shipped broker', async () => {
    expect(await run(shipped)).toBe(false)
  })

  test(`succeeds without ${stoppedBy.join(' and ')}`, async () => {
    const weakened = await startHere({ rules: without(...stoppedBy), limits })
    try {
      expect(await run(weakened)).toBe(true)
    } finally {
      await weakened.stop()
    }
  })
})

let shipped: BrokerProgram
beforeAll(async () => {
  shipped = await startProgram()
})
afterAll(() => shipped.stop())

describe('two layers', () => {
  test('without the publish rule, control topics still obey the local socket only', async () => {
    const target = await startHere({ rules: without('publish-own-topic') })
    expect(await kicks(ctl, () => 'drop')(target)).toBe(false)
    await target.stop()
  })

  test('without the subscribe rule, the forward gate still keeps messages from strangers', async () => {
    const target = await startHere({ rules: without('subscribe-own-topic') })
    expect(await eavesdrops(target)).toBe(false)
    expect(target.broker.counters().withheld).toBeGreaterThan(0)
    await target.stop()
  })
})
