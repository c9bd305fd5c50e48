import { describe, expect, test } from 'vitest'
import { utf8 } from '#bytes'
import { createWorld, open } from '../support/channel.ts'

describe('opening a channel', () => {
  test('both sides learn who the other is, and messages pass both ways', () => {
    const world = createWorld()
    const [initiator, responder] = [world.initiator(), world.responder()]
    const { initiatorEvents, responderEvents, up, down } = open(initiator, responder)
    expect(initiatorEvents).toMatchObject([
      { type: 'open', epoch: 0, rekey: false, peer: { deviceId: 'fog-1' } },
    ])
    expect(responderEvents).toMatchObject([
      { type: 'open', epoch: 0, rekey: false, peer: { deviceId: 'meter-1' } },
    ])
    const frame = initiator.send(utf8('hello'))
    expect(responder.receive('AAAAAAAA', frame)).toMatchObject([
      { type: 'message', payload: utf8('hello') },
    ])
    const back = responder.send('AAAAAAAA', utf8('welcome'))
    expect(initiator.receive(back as Uint8Array)).toEqual([
      { type: 'message', payload: utf8('welcome') },
    ])
    const bytes = [...up, ...down].reduce((sum, f) => sum + f.length, 0)
    expect(bytes).toBeLessThanOrEqual(800)
  })
})
