/**
 * What somebody between the two ends can try who carries, keeps, changes and repeats frames at will
 * (a broker, in the worst case). Most attacks run twice: against the channel as it is, and with the
 * one defence taken away or made irrelevant, to show that it is this defence that stops them.
 */
import { describe, expect, test } from 'vitest'
import { concat, utf8 } from '#bytes'
import { defaults } from '#defaults'
import type { Identity, Initiator, Output, Responder } from '#channel'
import {
  createWorld,
  eventsOf,
  exchange,
  framesOf,
  open,
  seededRandom,
  TestAuthority,
  type ResponderChanges,
  type World,
} from '../support/channel.ts'

const CID = 'AAAAAAAA'
const OTHER = 'BBBBBBBB'
const UNKNOWN = Uint8Array.of(0xf6)

function only(frames: readonly Uint8Array[]): Uint8Array {
  expect(frames).toHaveLength(1)
  return frames[0] as Uint8Array
}

function expectDelivered(responder: Responder, cid: string, frame: Uint8Array, text: string): void {
  expect(responder.receive(cid, frame)).toMatchObject([{ type: 'message', payload: utf8(text) }])
}

/** Both directions still work. */
function expectAlive(initiator: Initiator, responder: Responder): void {
  const cid = initiator.channelId
  expectDelivered(responder, cid, initiator.send(utf8('alive')), 'alive')
  const down = responder.send(cid, utf8('alive')) as Uint8Array
  expect(initiator.receive(down)).toMatchObject([{ type: 'message' }])
}

describe('repeating what was seen', () => {
  test('a record counts once', () => {
    const world = createWorld()
    const [initiator, responder] = [world.initiator(), world.responder()]
    open(initiator, responder)
    const frame = initiator.send(utf8('x'))
    expectDelivered(responder, CID, frame, 'x')
    expect(responder.receive(CID, frame)).toEqual([])
    const down = responder.send(CID, utf8('y')) as Uint8Array
    expect(initiator.receive(down)).toHaveLength(1)
    expect(initiator.receive(down)).toEqual([])
    expect(responder.counters().refused).toEqual({ replay: 1 })
  })

  test('a record of one session means nothing in another, also of the same two devices', () => {
    const world = createWorld()
    const responder = world.responder()
    const [a, b] = [world.initiator(), world.initiator({ channelId: OTHER, seed: 9 })]
    open(a, responder)
    open(b, responder)
    const frame = a.send(utf8('x'))
    expect(responder.receive(OTHER, frame)).toEqual([])
    expectDelivered(responder, CID, frame, 'x')
  })

  test('a whole recorded session opens nothing: the responder answers with fresh keys', () => {
    expect(replayed(43)).not.toContain('open')
    // With the randomness of the first time the replay would open a session.
    expect(replayed(42)).toContain('open')
  })

  test('an old message_1 on another channel costs one half-open slot and nothing else', () => {
    const world = createWorld()
    const [initiator, responder] = [world.initiator(), world.responder()]
    const { up } = open(initiator, responder)
    for (let i = 0; i < 100; i++) responder.receive(OTHER, up[0] as Uint8Array)
    expect(responder.counters()).toMatchObject({ halfOpen: 1, sessions: 1 })
    expect(responder.receive(OTHER, up[1] as Uint8Array).map(({ type }) => type)).not.toContain(
      'open',
    )
    expectAlive(initiator, responder)
  })

  test('an old message_1 on the same channel does not push out the handshake under way', () => {
    const { clock, ...world } = createWorld()
    const responder = world.responder()
    const abandoned = only(framesOf(world.initiator({ seed: 20 }).start()))
    const initiator = world.initiator()
    const m2 = only(framesOf(responder.receive(CID, only(framesOf(initiator.start())))))
    clock.ms = 1_500
    responder.receive(CID, abandoned)
    expect(responder.counters().halfOpen).toBe(2)
    const { initiatorEvents } = exchange(initiator, responder, initiator.receive(m2))
    expect(initiatorEvents).toMatchObject([{ type: 'open' }])
  })

  test('message_1 of a finished handshake, again: refused as stale, no answer, no arithmetic', () => {
    const { clock, ...world } = createWorld()
    const [initiator, responder] = [world.initiator(), world.responder()]
    const { up } = open(initiator, responder)
    expectAlive(initiator, responder) // from here on nothing of the handshake is stored
    clock.ms = 60_000
    for (const frame of up) expect(responder.receive(CID, frame)).toEqual([])
    expect(responder.counters()).toMatchObject({
      halfOpen: 0,
      handshakesRefused: { 'channel/stale': 1 },
    })
    expectAlive(initiator, responder)
  })
})

describe('sending frames where they do not belong', () => {
  test('reflection: nothing comes back as a message to who sent it', () => {
    const world = createWorld()
    const [initiator, responder] = [world.initiator(), world.responder()]
    const { up, down } = open(initiator, responder)
    const mine = initiator.send(utf8('x'))
    const theirs = responder.send(CID, utf8('y')) as Uint8Array
    for (const frame of [...up, mine]) expect(initiator.receive(frame)).toEqual([])
    for (const frame of [...down, theirs]) {
      expect(eventsOf(responder.receive(CID, frame))).toEqual([])
    }
    expectAlive(initiator, responder)
  })

  test('splice: the handshake of one meter cannot be finished by another', () => {
    const world = createWorld()
    const responder = world.responder()
    const meter2 = world.authority.enrol('meter-2', 'meter')
    const [a, b] = [world.initiator(), world.initiator({ own: meter2, channelId: OTHER, seed: 9 })]
    const a2 = only(framesOf(responder.receive(CID, only(framesOf(a.start())))))
    const b2 = only(framesOf(responder.receive(OTHER, only(framesOf(b.start())))))
    const a3 = only(framesOf(a.receive(a2)))
    const b3 = only(framesOf(b.receive(b2)))
    // Addressed to the other's C_R, so that it is looked at at all.
    const spliced = concat(a3.subarray(0, 1), b3.subarray(1))
    expect(eventsOf(responder.receive(CID, spliced))).toMatchObject([
      { type: 'closed', peer: null, code: 'edhoc/not-authentic' },
    ])
    expect(eventsOf(responder.receive(OTHER, b3))).toMatchObject([{ type: 'open' }])
  })

  test('splice: message_2 meant for another initiator is not signed for this one', () => {
    const world = createWorld()
    const responder = world.responder()
    const [a, b] = [world.initiator(), world.initiator({ channelId: OTHER, seed: 9 })]
    const a1 = only(framesOf(a.start()))
    const b2 = only(framesOf(responder.receive(OTHER, only(framesOf(b.start())))))
    const a2 = only(framesOf(responder.receive(CID, a1)))
    const spliced = concat(a2.subarray(0, 1), b2.subarray(1))
    expect(eventsOf(a.receive(spliced))).toMatchObject([{ type: 'closed', retry: true }])
  })

  test('a channel stays with its device: another valid meter cannot rekey it', () => {
    const { clock, ...world } = createWorld()
    const responder = world.responder()
    const [victim, attacker] = [
      world.initiator(),
      world.initiator({
        own: world.authority.enrol('meter-2', 'meter'),
        channelId: OTHER,
        seed: 9,
      }),
    ]
    open(victim, responder)
    open(attacker, world.responder({ seed: 50 })) // somewhere else, so that its next epoch is 1
    clock.ms = attacker.nextTickAt
    const { responderEvents } = exchange(attacker, responder, attacker.tick(), CID)
    expect(responderEvents).toEqual([]) // nothing closes for the victim
    expect(responder.counters().handshakesRefused).toEqual({ 'channel/other-device': 1 })
    expect(responder.peerOf(CID)?.deviceId).toBe('meter-1')
    clock.ms = 0
    expectAlive(victim, responder)
  })

  test('keys belong to a channel id: a handshake moved to another channel carries no message', () => {
    const world = createWorld()
    const [initiator, responder] = [world.initiator(), world.responder()]
    exchange(initiator, responder, initiator.start(), OTHER)
    expect(initiator.state).toBe('open')
    expect(eventsOf(responder.receive(OTHER, initiator.send(utf8('x'))))).toEqual([])
    expect(responder.counters().refused).toEqual({ forged: 1 })
    expect(initiator.receive(responder.send(OTHER, utf8('y')) as Uint8Array)).toEqual([])
  })
})

describe('being somebody else', () => {
  const cases: [string, () => { closed: string; refused: string | null; allowed: boolean }][] = [
    ['a meter of another authority', () => refusal('credential/untrusted', { stranger: true })],
    ['a fog node posing as a meter', () => refusal('credential/wrong-role', { role: 'fog' })],
    ['a meter of another group', () => refusal('credential/wrong-group', { group: 'elsewhere' })],
    ['a revoked meter', () => refusal('credential/revoked', { revoked: true })],
    ['a meter whose time is over', () => refusal('credential/expired', { expired: true })],
  ]
  test.each(cases)('%s is refused and told so; without that rule it would get in', (_, run) => {
    const { closed, refused, allowed } = run()
    expect(closed).toBe('channel/credential-refused')
    expect(refused).not.toBeNull()
    expect(allowed).toBe(true)
  })

  interface Impostor {
    stranger?: boolean
    role?: 'meter' | 'fog'
    group?: string
    revoked?: boolean
    expired?: boolean
  }

  function refusal(
    code: string,
    how: Impostor,
  ): { closed: string; refused: string | null; allowed: boolean } {
    const attempt = (defended: boolean) => {
      const world = createWorld()
      const authority = how.stranger ? new TestAuthority(66) : world.authority
      const endS = how.expired ? 1_750_000_000 : undefined
      const own = authority.enrol('impostor', how.role ?? 'meter', how.group, endS)
      const lax = how.stranger ? authority : world.authority
      if (how.revoked && defended) world.authority.revoke(own)
      const beforeExpiry = { now: () => 1_749_999_999_000, monotonic: () => 0 }
      const responder = world.responder(
        defended
          ? {}
          : {
              trust: lax.trust(how.expired ? beforeExpiry : world.clock),
              peerRole: how.role ?? 'meter',
              group: null,
            },
      )
      const initiator = world.initiator({ own })
      return exchange(initiator, responder, initiator.start())
    }
    const { responderEvents, initiatorEvents } = attempt(true)
    const last = initiatorEvents.at(-1)
    const closed = last?.type === 'closed' && !last.retry ? last.code : 'not closed for good'
    const refused = responderEvents.find((event) => event.type === 'closed' && event.code === code)
    const allowed = attempt(false).responderEvents.some((event) => event.type === 'open')
    return { closed, refused: refused?.type ?? null, allowed }
  }

  test('misbinding: a genuine fog node under another name is not the one we meant', () => {
    const world = createWorld()
    const fog2 = world.authority.enrol('fog-2', 'fog')
    const responder = world.responder({ own: fog2 })
    const initiator = world.initiator()
    expect(exchange(initiator, responder, initiator.start()).initiatorEvents).toEqual([
      {
        type: 'closed',
        code: 'channel/wrong-node',
        retry: false,
        detail: 'expected to reach fog-1 but fog-2 answered; check the node name',
      },
    ])
    // Everything else about it is in order: under its own name it is accepted.
    open(world.initiator({ node: 'fog-2', seed: 31 }), world.responder({ own: fog2, seed: 32 }))
  })

  test('a meter cannot pose as the fog node, nor a revoked fog node as itself', () => {
    const world = createWorld()
    const meterAsFog = world.responder({ own: world.authority.enrol('fog-1', 'meter') })
    const first = world.initiator()
    expect(exchange(first, meterAsFog, first.start()).initiatorEvents).toMatchObject([
      { type: 'closed', code: 'credential/wrong-role', retry: false },
    ])
    world.authority.revoke(world.fog)
    const second = world.initiator({ seed: 8 })
    expect(exchange(second, world.responder(), second.start()).initiatorEvents).toMatchObject([
      { type: 'closed', code: 'credential/revoked', retry: false },
    ])
  })

  const changes: [string, string, (world: World, own: Identity) => ResponderChanges][] = [
    [
      'revoked since',
      'credential/revoked',
      (world, own) => {
        world.authority.revoke(own)
        return {}
      },
    ],
    [
      'run out since',
      'credential/expired',
      (world) => {
        world.clock.ms += 3_600_000
        return {}
      },
    ],
    ['at the door of another group', 'credential/wrong-group', () => ({ group: 'elsewhere' })],
    ['at a door for others', 'credential/wrong-role', () => ({ peerRole: 'fog' })],
  ]
  test.each(changes)('a remembered meter is judged again: %s', (_, code, change) => {
    const world = createWorld()
    const trust = world.authority.trust(world.clock)
    const endS = Math.floor(world.clock.now() / 1000) + 3_600
    const own = world.authority.enrol('meter-2', 'meter', 'default', endS)
    open(world.initiator({ own }), world.responder({ trust }))
    open(world.initiator({ own, seed: 41 }), world.responder({ trust, seed: 42 }))
    const responder = world.responder({ trust, seed: 43, ...change(world, own) })
    const initiator = world.initiator({ own, seed: 44 })
    const { responderEvents } = exchange(initiator, responder, initiator.start())
    expect(responderEvents).toMatchObject([{ type: 'closed', peer: null, code }])
    expect(responder.counters().handshakesRefused).toEqual({ [code]: 1 })
  })

  test('revoked during a session: recheck ends it, and only it', () => {
    const world = createWorld()
    const responder = world.responder()
    const meter2 = world.authority.enrol('meter-2', 'meter')
    const [a, b] = [world.initiator(), world.initiator({ own: meter2, channelId: OTHER, seed: 9 })]
    open(a, responder)
    open(b, responder)
    expect(responder.recheck()).toEqual([])
    world.authority.revoke(meter2)
    expect(responder.recheck()).toMatchObject([
      { type: 'closed', cid: OTHER, code: 'credential/revoked' },
    ])
    expectAlive(a, responder)
    expect(responder.receive(OTHER, b.send(utf8('x')))).toMatchObject([{ bytes: UNKNOWN }])
  })

  test('a credential that runs out during a session ends it within a minute', () => {
    const world = createWorld()
    const responder = world.responder()
    const soonS = Math.floor(world.clock.now() / 1000) + 3_600
    const brief = world.authority.enrol('meter-2', 'meter', 'default', soonS)
    const [a, b] = [world.initiator(), world.initiator({ own: brief, channelId: OTHER, seed: 9 })]
    open(a, responder)
    open(b, responder)
    world.clock.ms += 3_599_000
    expect(responder.tick()).toEqual([])
    world.clock.ms += 60_000
    expect(responder.tick()).toMatchObject([
      { type: 'closed', cid: OTHER, code: 'credential/expired' },
    ])
    expectAlive(a, responder)
  })
})

describe('keys of different epochs', () => {
  test('confusion: a record does not open under the number of another epoch', () => {
    const { initiator, responder } = rekeyed()
    const frame = initiator.send(utf8('x'))
    for (const epoch of [0, 2, 3]) {
      const moved = frame.slice()
      moved[0] = ((frame[0] ?? 0) & 7) | (epoch << 3)
      expect(eventsOf(responder.receive(CID, moved))).toEqual([])
    }
    expect(responder.counters().refused).toEqual({ forged: 1, 'unknown-epoch': 2 })
    expectDelivered(responder, CID, frame, 'x')
  })

  test('a record held back opens for ten minutes after the switch, then never', () => {
    const { clock, initiator, responder, held, held2 } = rekeyed()
    const switchedAt = clock.ms
    expectDelivered(responder, CID, initiator.send(utf8('new')), 'new')
    clock.ms = switchedAt + defaults.record.oldEpochMs - 1
    expectDelivered(responder, CID, held, 'held back')
    clock.ms = switchedAt + defaults.record.oldEpochMs
    expect(responder.receive(CID, held2)).toEqual([])
    expect(responder.counters().refused).toEqual({ expired: 1 })
    responder.tick()
    expect(eventsOf(responder.receive(CID, held2))).toEqual([])
    expectAlive(initiator, responder)
  })
})

describe('changing bytes', () => {
  test('a downgraded or altered list of suites never leads to a session', () => {
    for (const suites of [
      Uint8Array.of(0x00),
      Uint8Array.of(0x82, 0x04, 0x00),
      Uint8Array.of(0x82, 0x00, 0x04),
    ]) {
      const world = createWorld()
      const [initiator, responder] = [world.initiator(), world.responder()]
      const m1 = only(framesOf(initiator.start()))
      expect(m1[2]).toBe(0x04) // 0xf5, METHOD, SUITES_I
      const changed = concat(m1.subarray(0, 2), suites, m1.subarray(3))
      const answers = framesOf(responder.receive(CID, changed))
      const events = answers.flatMap((frame) => initiator.receive(frame))
      expect(events).toMatchObject([{ type: 'closed' }])
      expect(responder.counters().sessions).toBe(0)
    }
  })

  test('no changed byte of the handshake goes unnoticed, on either side', () => {
    const sizes = open(createWorld().initiator(), createWorld().responder())
    const lengths = [sizes.up[0], sizes.down[0], sizes.up[1], sizes.down[1]].map(
      (f) => f?.length ?? 0,
    )
    lengths.forEach((length, message) => {
      for (let at = 0; at < length; at++) {
        const outcome = tamperedHandshake(message, at, 1 << (at % 8))
        // message_4 comes after the responder has verified everything; only the initiator waits for it.
        expect({ message, at, ...outcome }).toEqual({
          message,
          at,
          initiator: false,
          responder: message === 3,
        })
      }
    })
    expect(tamperedHandshake(0, 0, 0)).toEqual({ initiator: true, responder: true })
  })

  test('no changed bit of a record goes unnoticed, and the true one still counts afterwards', () => {
    const world = createWorld()
    const [initiator, responder] = [world.initiator(), world.responder()]
    open(initiator, responder)
    const frame = initiator.send(utf8('one reading'))
    for (let bit = 0; bit < frame.length * 8; bit++) {
      const copy = frame.slice()
      copy[bit >> 3] = (copy[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      expect(eventsOf(responder.receive(CID, copy))).toEqual([])
    }
    for (let length = 0; length < frame.length; length++) {
      expect(eventsOf(responder.receive(CID, frame.subarray(0, length)))).toEqual([])
    }
    expectDelivered(responder, CID, frame, 'one reading')
  })

  test('noise never throws', () => {
    const world = createWorld()
    const [initiator, responder] = [world.initiator(), world.responder()]
    open(initiator, responder)
    const random = seededRandom(5)
    for (let i = 0; i < 3_000; i++) {
      const noise = random(i % 90)
      if (noise.length > 0) noise[0] = [0xf5, 0xf6, 0x20 + (i % 24), i & 0x1f][i % 4] as number
      responder.receive(i % 2 ? CID : OTHER, noise)
      expect(initiator.receive(noise).filter(({ type }) => type !== 'frame')).toEqual([])
    }
    expectAlive(initiator, responder)
  })
})

describe('wearing the other side out', () => {
  test('a flood of message_1 stops neither open sessions nor their rekeying', () => {
    const { clock, ...world } = createWorld()
    const limits = { burst: 50, perSecond: 10, halfOpen: 100 }
    const responder = world.responder({ limits })
    const initiator = world.initiator()
    open(initiator, responder)
    clock.ms = initiator.nextTickAt
    const flood = framesOf(world.initiator({ seed: 70 }).start())[0] as Uint8Array
    for (let i = 0; i < 500; i++) responder.receive(`flood${String(i).padStart(3, '0')}`, flood)
    expect(responder.counters()).toMatchObject({ halfOpen: 50, handshakesLimited: 450 })
    const newcomer = world.initiator({ channelId: OTHER, seed: 71 })
    const [m1] = framesOf(newcomer.start()) as [Uint8Array]
    expect(responder.receive(OTHER, m1)).toEqual([]) // no token left: it will ask again
    const { initiatorEvents } = exchange(initiator, responder, initiator.tick())
    expect(initiatorEvents).toMatchObject([{ type: 'open', rekey: true }])
    expectAlive(initiator, responder)
    clock.ms += defaults.handshake.retransmitMs
    expect(exchange(newcomer, responder, newcomer.tick()).initiatorEvents).toMatchObject([
      { type: 'open' },
    ])
  })

  test('one channel cannot use up the handshakes of all', () => {
    const world = createWorld()
    const responder = world.responder({ limits: { burst: 50, perSecond: 0 } })
    for (let i = 0; i < 100; i++) {
      responder.receive(
        OTHER,
        framesOf(world.initiator({ seed: 100 + i }).start())[0] as Uint8Array,
      )
    }
    expect(responder.counters()).toMatchObject({ halfOpen: 1, handshakesLimited: 99 })
    open(world.initiator(), responder)
  })

  test('unfinished handshakes are bounded; the oldest makes room', () => {
    const world = createWorld()
    const responder = world.responder({ limits: { halfOpen: 10 } })
    const m1 = framesOf(world.initiator({ seed: 70 }).start())[0] as Uint8Array
    for (let i = 0; i < 25; i++) responder.receive(`chan00${i + 10}`, m1)
    expect(responder.counters().halfOpen).toBe(10)
    open(world.initiator(), responder)
  })

  test('"unknown session" is said once every two seconds to a channel, however much it asks', () => {
    const { clock, ...world } = createWorld()
    const initiator = world.initiator()
    open(initiator, world.responder())
    const responder = world.responder({ seed: 60 })
    const ask = (): number =>
      Array.from({ length: 50 }, () => responder.receive(CID, initiator.send(utf8('x')))).flat()
        .length
    expect(ask()).toBe(1)
    clock.ms = defaults.handshake.retransmitMs - 1
    expect(ask()).toBe(0)
    clock.ms += 1
    expect(ask()).toBe(1)
  })

  test('forged "unknown session" costs a handshake every few seconds, and never a message', () => {
    const { clock, ...world } = createWorld()
    const [initiator, responder] = [world.initiator(), world.responder()]
    open(initiator, responder)
    let handshakes = 0
    for (; clock.ms < 60_000; clock.ms += 100) {
      expect(eventsOf(initiator.receive(UNKNOWN))).toEqual([])
      if (clock.ms >= initiator.nextTickAt) {
        const { initiatorEvents } = exchange(initiator, responder, initiator.tick())
        handshakes += initiatorEvents.filter(({ type }) => type === 'open').length
      }
      expectAlive(initiator, responder)
    }
    expect(handshakes).toBeGreaterThan(0)
    expect(handshakes).toBeLessThanOrEqual(12)
  })

  test('forged EDHOC errors do not touch an open session', () => {
    const world = createWorld()
    const [initiator, responder] = [world.initiator(), world.responder()]
    open(initiator, responder)
    for (let id = 0x20; id <= 0x37; id++) {
      for (const error of [
        [0x03, 0xf5],
        [0x01, 0x60],
        [0x02, 0x00],
      ]) {
        expect(initiator.receive(Uint8Array.of(id, ...error))).toEqual([])
        expect(responder.receive(CID, Uint8Array.of(id, ...error))).toEqual([])
      }
    }
    expectAlive(initiator, responder)
  })

  test('what a peer says in an error reaches a log only if it looks like one of our codes', () => {
    expect(afterError('credential/wrong-group-x')).toEqual([
      {
        type: 'closed',
        code: 'channel/credential-refused',
        retry: false,
        detail: 'credential/wrong-group-x',
      },
    ])
    expect(afterError('\u001b[31m a text that is longer than 23')).toEqual([
      { type: 'closed', code: 'channel/handshake-refused', retry: true, detail: null },
    ])
  })

  test('forgeries are counted: an alarm at 2^10, the end of the session at 2^16', () => {
    const world = createWorld()
    const [initiator, responder] = [world.initiator(), world.responder()]
    open(initiator, responder)
    const forged = initiator.send(utf8('x'))
    forged[forged.length - 1] = (forged.at(-1) ?? 0) ^ 1
    const { alarmAfterFailures, dropAfterFailures } = defaults.record
    const forge = (times: number): number => {
      for (let i = 0; i < times; i++) expect(responder.receive(CID, forged)).toHaveLength(0)
      return responder.counters().alarms
    }
    expect(forge(alarmAfterFailures - 1)).toBe(0)
    expect(forge(1)).toBe(1)
    expect(forge(dropAfterFailures - alarmAfterFailures - 1)).toBe(1)
    expectAlive(initiator, responder)
    expect(responder.receive(CID, forged)).toMatchObject([
      { type: 'closed', cid: CID, code: 'channel/too-many-failures' },
    ])
    expect(responder.counters()).toMatchObject({ sessions: 0, alarms: 1 })
  })
})

/** Records a session of a responder with random seed 42, replays it to one with another seed. */
function replayed(seed: number): readonly string[] {
  const world = createWorld()
  const recorded = open(world.initiator(), world.responder({ seed: 42 })).up
  const restarted = world.responder({ seed })
  return recorded.flatMap((frame) =>
    eventsOf(restarted.receive(CID, frame)).map((event) => event.type),
  )
}

/** An open channel after its first rekeying, with two records held back from before. */
function rekeyed() {
  const world = createWorld()
  const [initiator, responder] = [world.initiator(), world.responder()]
  open(initiator, responder)
  const held = initiator.send(utf8('held back'))
  const held2 = initiator.send(utf8('held back longer'))
  world.clock.ms = initiator.nextTickAt
  exchange(initiator, responder, initiator.tick())
  return { ...world, initiator, responder, held, held2 }
}

/** Runs a handshake with one byte of one message changed; who ends up with an open session? */
function tamperedHandshake(message: number, at: number, mask: number) {
  const world = createWorld()
  const [initiator, responder] = [world.initiator(), world.responder()]
  const result = { initiator: false, responder: false }
  let number = 0
  let up = framesOf(initiator.start())
  while (up.length > 0) {
    const answers = up.flatMap((frame) => responder.receive(CID, changed(frame)))
    result.responder ||= answers.some(({ type }) => type === 'open')
    const results = framesOf(answers).flatMap((frame) => initiator.receive(changed(frame)))
    result.initiator ||= results.some(({ type }) => type === 'open')
    up = framesOf(results)
  }
  return result

  function changed(frame: Uint8Array): Uint8Array {
    const copy = frame.slice()
    if (number++ === message) copy[at] = (copy[at] ?? 0) ^ mask
    return copy
  }
}

/** What an initiator makes of an EDHOC error with this text. */
function afterError(text: string): Output[] {
  const initiator = createWorld().initiator()
  const [m1] = framesOf(initiator.start()) as [Uint8Array]
  const cI = m1.at(-1) as number // the last field of message_1
  return initiator.receive(concat(Uint8Array.of(cI, 0x01, 0x78, text.length), utf8(text)))
}
