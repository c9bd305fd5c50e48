import { describe, expect, test } from 'vitest'
import { utf8 } from '#bytes'
import { nobleCrypto } from '#crypto'
import { defaults } from '#defaults'
import { createWorld, eventsOf, exchange, framesOf, open } from '../support/channel.ts'

const CID = 'AAAAAAAA'
const HOUR_MS = 3_600_000

describe('opening a channel', () => {
  test('both sides learn who the other is, and messages pass both ways', () => {
    const world = createWorld()
    const [initiator, responder] = [world.initiator(), world.responder()]
    const { initiatorEvents, responderEvents } = open(initiator, responder)
    expect(initiatorEvents).toMatchObject([
      { type: 'open', epoch: 0, rekey: false, peer: { deviceId: 'fog-1' } },
    ])
    expect(responderEvents).toMatchObject([
      { type: 'open', cid: CID, epoch: 0, rekey: false, peer: { deviceId: 'meter-1' } },
    ])
    const frame = initiator.send(utf8('hello'))
    expect(responder.receive(CID, frame)).toMatchObject([
      { type: 'message', cid: CID, peer: { deviceId: 'meter-1' }, payload: utf8('hello') },
    ])
    const back = responder.send(CID, utf8('welcome')) as Uint8Array
    expect(initiator.receive(back)).toEqual([{ type: 'message', payload: utf8('welcome') }])
  })

  test('the whole handshake with real credentials takes at most 800 bytes', () => {
    const world = createWorld()
    const { up, down } = open(world.initiator(), world.responder())
    const sizes = [up[0], down[0], up[1], down[1]].map((frame) => frame?.length ?? 0)
    expect(up.length + down.length).toBe(4)
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBeLessThanOrEqual(800)
  })

  test('runs on the portable primitives, against a peer on node:crypto', () => {
    const world = createWorld()
    const initiator = world.initiator({ crypto: nobleCrypto })
    const responder = world.responder()
    open(initiator, responder)
    expect(responder.receive(CID, initiator.send(utf8('x')))).toMatchObject([{ type: 'message' }])
  })

  test('before the channel is open nothing can be sent and no record is read', () => {
    const world = createWorld()
    const [initiator, responder] = [world.initiator(), world.responder()]
    const notOpen = expect.objectContaining({ code: 'channel/not-open' })
    expect(() => initiator.send(utf8('x'))).toThrow(notOpen)
    expect(initiator.receive(Uint8Array.of(0, 0, ...new Uint8Array(16)))).toEqual([])
    expect(initiator.nextTickAt).toBe(Infinity)
    initiator.start()
    expect(() => initiator.send(utf8('x'))).toThrow(notOpen)
    expect(responder.send(CID, utf8('x'))).toBeNull()
    initiator.close()
    expect(() => initiator.send(utf8('x'))).toThrow(notOpen)
    expect(initiator.nextTickAt).toBe(Infinity)
  })
})

describe('retransmission', () => {
  const { retransmitMs, giveUpMs } = defaults.handshake

  test('the initiator repeats message_1 unchanged, then gives up', () => {
    const { clock, ...world } = createWorld()
    const initiator = world.initiator()
    const [first] = framesOf(initiator.start())
    const repeated: Uint8Array[] = []
    let closed = eventsOf(initiator.tick())
    for (let i = 0; i < 20 && closed.length === 0; i++) {
      clock.ms = initiator.nextTickAt
      const outputs = initiator.tick()
      repeated.push(...framesOf(outputs))
      closed = eventsOf(outputs)
    }
    expect(clock.ms).toBe(giveUpMs)
    expect(repeated).toEqual(Array.from({ length: giveUpMs / retransmitMs - 1 }, () => first))
    expect(closed).toEqual([{ type: 'closed', code: 'channel/timeout', retry: true, detail: null }])
  })

  test('the responder answers duplicates from store, byte for byte', () => {
    const world = createWorld()
    const [initiator, responder] = [world.initiator(), world.responder()]
    const [m1] = framesOf(initiator.start()) as [Uint8Array]
    const [m2] = framesOf(responder.receive(CID, m1)) as [Uint8Array]
    expect(framesOf(responder.receive(CID, m1))).toEqual([m2])
    const [m3] = framesOf(initiator.receive(m2)) as [Uint8Array]
    expect(initiator.receive(m2)).toEqual([])
    const first = responder.receive(CID, m3)
    const [m4] = framesOf(first) as [Uint8Array]
    expect(eventsOf(first)).toHaveLength(1)
    expect(responder.receive(CID, m3)).toEqual([{ type: 'frame', cid: CID, bytes: m4 }])
    expect(responder.receive(CID, m1)).toEqual([])
    expect(eventsOf(initiator.receive(m4))).toHaveLength(1)
    expect(initiator.receive(m4)).toEqual([])
    expect(responder.counters()).toMatchObject({ handshakes: 1, halfOpen: 0, sessions: 1 })
  })

  test('a lost message_4 is asked for again with message_3', () => {
    const { clock, ...world } = createWorld()
    const [initiator, responder] = [world.initiator(), world.responder()]
    const [m1] = framesOf(initiator.start()) as [Uint8Array]
    const [m2] = framesOf(responder.receive(CID, m1)) as [Uint8Array]
    const [m3] = framesOf(initiator.receive(m2)) as [Uint8Array]
    responder.receive(CID, m3) // its answer gets lost
    clock.ms = initiator.nextTickAt
    const again = initiator.tick()
    expect(framesOf(again)).toEqual([m3])
    expect(exchange(initiator, responder, again).initiatorEvents).toMatchObject([{ type: 'open' }])
  })

  test('unfinished handshakes are forgotten after the give-up time', () => {
    const { clock, ...world } = createWorld()
    const responder = world.responder()
    responder.receive(CID, framesOf(world.initiator().start())[0] as Uint8Array)
    clock.ms = giveUpMs
    responder.tick()
    expect(responder.counters().halfOpen).toBe(1)
    clock.ms = giveUpMs + 1
    responder.tick()
    expect(responder.counters().halfOpen).toBe(0)
  })
})

describe('rekeying', () => {
  test('after a day, a little early, on the same channel; the old epoch still carries data', () => {
    const { clock, ...world } = createWorld()
    const [initiator, responder] = [world.initiator(), world.responder()]
    open(initiator, responder)
    expect(initiator.nextTickAt).toBeGreaterThanOrEqual(0.9 * 24 * HOUR_MS)
    expect(initiator.nextTickAt).toBeLessThanOrEqual(24 * HOUR_MS)
    const late = initiator.send(utf8('on its way'))
    clock.ms = initiator.nextTickAt
    const [m1] = framesOf(initiator.tick()) as [Uint8Array]
    const [m2] = framesOf(responder.receive(CID, m1)) as [Uint8Array]
    const during = initiator.send(utf8('during'))
    const [m3] = framesOf(initiator.receive(m2)) as [Uint8Array]
    const accepted = responder.receive(CID, m3)
    expect(eventsOf(accepted)).toMatchObject([{ type: 'open', epoch: 1, rekey: true }])
    // Not confirmed: the initiator could not read the new epoch yet, and need not.
    const down = responder.send(CID, utf8('receipt')) as Uint8Array
    expect(initiator.receive(down)).toMatchObject([{ type: 'message' }])
    const opened = initiator.receive(framesOf(accepted)[0] as Uint8Array)
    expect(opened).toMatchObject([{ type: 'open', epoch: 1, rekey: true }])
    const fresh = initiator.send(utf8('under new keys'))
    for (const frame of [fresh, late, during]) {
      expect(responder.receive(CID, frame)).toMatchObject([{ type: 'message' }])
    }
    expect((responder.send(CID, utf8('x')) as Uint8Array)[0]).toBe(0b01000)
  })

  test('after the record limit in either direction', () => {
    for (const who of ['initiator', 'responder']) {
      const { clock, ...world } = createWorld()
      const limits = { rekeyAfterRecords: 10 }
      const [initiator, responder] = [world.initiator({ limits }), world.responder()]
      open(initiator, responder)
      clock.ms = 2_000
      for (let i = 0; i < 10; i++) {
        expect(initiator.nextTickAt).toBeGreaterThan(clock.ms)
        if (who === 'initiator') initiator.send(utf8('x'))
        else initiator.receive(responder.send(CID, utf8('x')) as Uint8Array)
      }
      expect(initiator.nextTickAt).toBe(clock.ms)
      const { initiatorEvents } = exchange(initiator, responder, initiator.tick())
      expect(initiatorEvents).toMatchObject([{ type: 'open', epoch: 1, rekey: true }])
    }
  })

  test('epochs go round: ten rekeyings in a row, messages before and after each', () => {
    const { clock, ...world } = createWorld()
    const [initiator, responder] = [world.initiator(), world.responder()]
    open(initiator, responder)
    for (let round = 1; round <= 10; round++) {
      clock.ms = initiator.nextTickAt
      const { initiatorEvents } = exchange(initiator, responder, initiator.tick())
      expect(initiatorEvents).toMatchObject([{ type: 'open', epoch: round % 4 }])
      if (round % 3 === 0) continue // nothing sent: the responder never sees this epoch confirmed
      expect(responder.receive(CID, initiator.send(utf8('x')))).toMatchObject([{ type: 'message' }])
      const down = responder.send(CID, utf8('y')) as Uint8Array
      expect(initiator.receive(down)).toMatchObject([{ type: 'message' }])
    }
  })

  test('a planned rekeying that nobody answers is tried later; the session goes on', () => {
    const { clock, ...world } = createWorld()
    const [initiator, responder] = [world.initiator(), world.responder()]
    open(initiator, responder)
    clock.ms = initiator.nextTickAt
    const until = clock.ms + defaults.handshake.giveUpMs
    while (clock.ms < until) {
      initiator.tick()
      clock.ms = initiator.nextTickAt
    }
    initiator.tick()
    expect(initiator.state).toBe('open')
    expect(responder.receive(CID, initiator.send(utf8('x')))).toMatchObject([{ type: 'message' }])
    expect(initiator.nextTickAt).toBeGreaterThanOrEqual(clock.ms + 3 * defaults.handshake.giveUpMs)
    clock.ms = initiator.nextTickAt
    const { initiatorEvents } = exchange(initiator, responder, initiator.tick())
    expect(initiatorEvents).toMatchObject([{ type: 'open', epoch: 1, rekey: true }])
  })

  test('without fresh keys for two days a session ends, on both sides', () => {
    const { clock, ...world } = createWorld()
    const [initiator, responder] = [world.initiator(), world.responder()]
    open(initiator, responder)
    clock.ms = 48 * HOUR_MS
    expect(() => initiator.send(utf8('x'))).toThrow(
      expect.objectContaining({ code: 'record/exhausted' }),
    )
    expect(initiator.nextTickAt).toBe(clock.ms)
    expect(initiator.tick()).toMatchObject([
      { type: 'closed', code: 'record/exhausted', retry: true },
    ])
    expect(responder.send(CID, utf8('x'))).toBeNull()
    expect(responder.tick()).toMatchObject([{ type: 'closed', code: 'channel/expired' }])
    expect(responder.counters().sessions).toBe(0)
  })
})

describe('a responder that forgot', () => {
  test('"unknown session" brings a new handshake after a random wait; the session is new', () => {
    const { clock, ...world } = createWorld()
    const initiator = world.initiator()
    open(initiator, world.responder())
    const fresh = world.responder({ seed: 77 })
    const hint = fresh.receive(CID, initiator.send(utf8('lost')))
    expect(framesOf(hint)).toEqual([Uint8Array.of(0xf6)])
    expect(initiator.receive(Uint8Array.of(0xf6))).toEqual([])
    expect(initiator.nextTickAt).toBeGreaterThan(clock.ms)
    expect(initiator.nextTickAt).toBeLessThanOrEqual(clock.ms + 2_500)
    clock.ms = initiator.nextTickAt
    const { initiatorEvents, responderEvents } = exchange(initiator, fresh, initiator.tick())
    expect(initiatorEvents).toMatchObject([{ type: 'open', rekey: false }])
    expect(responderEvents).toMatchObject([{ type: 'open', rekey: false }])
    expect(fresh.receive(CID, initiator.send(utf8('x')))).toMatchObject([{ type: 'message' }])
  })

  test('also in the middle of a handshake', () => {
    const { clock, ...world } = createWorld()
    const initiator = world.initiator()
    const [m1] = framesOf(initiator.start()) as [Uint8Array]
    const [m2] = framesOf(world.responder().receive(CID, m1)) as [Uint8Array]
    const [m3] = framesOf(initiator.receive(m2)) as [Uint8Array]
    const fresh = world.responder({ seed: 77 })
    expect(exchange(initiator, fresh, [{ type: 'frame', bytes: m3 }]).down).toEqual([
      Uint8Array.of(0xf6),
    ])
    clock.ms = initiator.nextTickAt
    const { initiatorEvents } = exchange(initiator, fresh, initiator.tick())
    expect(initiatorEvents).toMatchObject([{ type: 'open', rekey: false }])
  })

  test('a hint that was true, and then nobody answers: the channel closes', () => {
    const { clock, ...world } = createWorld()
    const initiator = world.initiator()
    open(initiator, world.responder())
    initiator.receive(Uint8Array.of(0xf6))
    let events = eventsOf(initiator.tick())
    for (let i = 0; i < 20 && events.length === 0; i++) {
      clock.ms = initiator.nextTickAt
      events = eventsOf(initiator.tick())
    }
    expect(events).toMatchObject([{ type: 'closed', code: 'channel/timeout', retry: true }])
  })
})

describe('sessions of the responder', () => {
  test('peerOf, channelsOf, drop and dropDevice', () => {
    const world = createWorld()
    const responder = world.responder()
    const other = world.authority.enrol('meter-2', 'meter')
    open(world.initiator({ channelId: 'AAAAAAA1' }), responder)
    open(world.initiator({ channelId: 'AAAAAAA2', seed: 12 }), responder)
    open(world.initiator({ channelId: 'BBBBBBBB', own: other, seed: 13 }), responder)
    expect(responder.peerOf('BBBBBBBB')?.deviceId).toBe('meter-2')
    expect(responder.peerOf('CCCCCCCC')).toBeNull()
    expect(responder.channelsOf('meter-1')).toEqual(['AAAAAAA1', 'AAAAAAA2'])
    expect(responder.drop('AAAAAAA1', 'fog/superseded')).toMatchObject([
      { type: 'closed', cid: 'AAAAAAA1', peer: { deviceId: 'meter-1' }, code: 'fog/superseded' },
    ])
    expect(responder.drop('AAAAAAA1', 'fog/superseded')).toEqual([])
    expect(responder.dropDevice('meter-1', 'x')).toHaveLength(1)
    expect(responder.channelsOf('meter-1')).toEqual([])
    expect(responder.counters().sessions).toBe(1)
  })

  test('a device may hold only so many channels; the oldest goes', () => {
    const world = createWorld()
    const responder = world.responder({ limits: { channelsPerDevice: 2 } })
    open(world.initiator({ channelId: 'AAAAAAA1' }), responder)
    open(world.initiator({ channelId: 'AAAAAAA2', seed: 12 }), responder)
    const third = open(world.initiator({ channelId: 'AAAAAAA3', seed: 13 }), responder)
    expect(third.responderEvents).toMatchObject([
      { type: 'open', cid: 'AAAAAAA3' },
      { type: 'closed', cid: 'AAAAAAA1', code: 'channel/superseded' },
    ])
  })

  test('a device with a renewed credential opens a second channel beside the old one', () => {
    const { clock, ...world } = createWorld()
    const responder = world.responder()
    const initiator = world.initiator()
    open(initiator, responder)
    const renewed = world.authority.enrol('meter-1', 'meter')
    const next = world.initiator({ own: renewed, seed: 55, channelId: 'BBBBBBBB' })
    open(next, responder)
    clock.ms = initiator.nextTickAt
    exchange(initiator, responder, initiator.tick())
    expect(responder.peerOf(CID)?.encoded).toEqual(world.meter.credential.encoded)
    expect(responder.peerOf('BBBBBBBB')?.encoded).toEqual(renewed.credential.encoded)
  })
})
