import * as fc from 'fast-check'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { concat, fromHex, utf8 } from '#bytes'
import { nodeCrypto } from '#crypto-node'
import {
  decodeError,
  initiatorMessage2,
  initiatorMessage4,
  responderMessage1,
  responderMessage3,
  startInitiator,
  type OwnCredential,
} from '#edhoc'
import { codeOf, CodedError } from '#errors'
import type * as Authenticate from '../../libs/edhoc/authenticate.ts'
import { knows, runHandshake, sessionParties, type Tamper } from '../support/edhoc-session.ts'
import { flipBit } from '../support/tamper.ts'
import session from '../vectors/data/edhoc-suite4.json' with { type: 'json' }

const parties = () => sessionParties(session, nodeCrypto)
const coded = (code: string) => expect.objectContaining({ code })

/** The code of what was thrown; 'completed' when nothing was. */
function outcomeOf(action: () => unknown): string {
  try {
    action()
  } catch (error) {
    return codeOf(error)
  }
  return 'completed'
}

/** How a handshake ends. */
function ending(tamper: Tamper, all = parties()): string {
  return outcomeOf(() => runHandshake(all, tamper))
}

function otherDevice(name: string, seed: number): OwnCredential {
  const key = nodeCrypto.signingKey(new Uint8Array(32).fill(seed))
  return { idCred: new Map([[4, utf8(name)]]), cred: utf8(`a credential of ${name}`), key }
}

const MESSAGES = ['message1', 'message2', 'message3', 'message4'] as const
const genuine = runHandshake(parties()).messages

describe('a message changed on the way never completes a session', () => {
  test.each(MESSAGES)('%s: every single bit flipped', (name) => {
    const length = genuine[MESSAGES.indexOf(name)]?.length ?? 0
    for (let bit = 0; bit < length * 8; bit++) {
      const flip = (bytes: Uint8Array) => flipBit(bytes, bit)
      expect(ending({ [name]: flip }), `bit ${bit}`).toMatch(/^edhoc\//)
    }
  })

  test.each(MESSAGES)('%s: every truncation, and bytes appended', (name) => {
    const length = genuine[MESSAGES.indexOf(name)]?.length ?? 0
    for (let end = 0; end < length; end++)
      expect(ending({ [name]: (bytes: Uint8Array) => bytes.slice(0, end) })).toMatch(/^edhoc\//)
    for (const extra of ['00', '40', '0040', 'f6'])
      expect(ending({ [name]: (bytes: Uint8Array) => concat(bytes, fromHex(extra)) })).toMatch(
        /^edhoc\//,
      )
  })

  test('unchanged, it completes', () => {
    expect(ending({})).toBe('completed')
  })
})

/** The same devices with new ephemeral keys. */
function fresh() {
  const all = parties()
  const initiator = { ...all.initiator, ephemeralSecret: new Uint8Array(32).fill(21) }
  const responder = { ...all.responder, ephemeralSecret: new Uint8Array(32).fill(22) }
  return { ...all, initiator, responder }
}

describe('messages of another session, or of another kind', () => {
  test.each([
    ['message2', 'edhoc/bad-signature'],
    ['message3', 'edhoc/not-authentic'],
    ['message4', 'edhoc/not-authentic'],
  ] as const)('%s replayed into a fresh session', (name, code) => {
    const old = genuine[MESSAGES.indexOf(name)] ?? new Uint8Array()
    const result = ending({ [name]: () => old }, fresh())
    // message_2 decrypts to noise under another key, so it may already fail as CBOR
    expect(result).toMatch(new RegExp(`^(?:${code}|edhoc/malformed)$`))
  })

  test('message_1 replayed gains nothing: message_3 does not follow from it', () => {
    const { responder, knowsInitiator } = fresh()
    const { state } = responderMessage1(responder, genuine[0])
    expect(() => responderMessage3(state, genuine[2], knowsInitiator)).toThrow(
      coded('edhoc/not-authentic'),
    )
  })

  test('every message in the place of every other', () => {
    for (const [place, name] of MESSAGES.entries())
      for (const bytes of genuine.filter((_, origin) => origin !== place))
        expect(ending({ [name]: () => bytes })).toMatch(/^edhoc\//)
  })

  test('a message sent back to its sender', () => {
    const { initiator, knowsResponder } = parties()
    const started = startInitiator(initiator)
    expect(() => initiatorMessage2(started.state, started.message1, knowsResponder)).toThrow(
      coded('edhoc/malformed'),
    )
    expect(ending({ message4: () => genuine[2] })).toBe('edhoc/not-authentic')
  })
})

const cut = (message1: Uint8Array) => concat(Uint8Array.of(0, 4), message1.slice(4))

describe('suite negotiation', () => {
  test('cutting more preferred suites out of message_1 is noticed', () => {
    const all = parties()
    const initiator = { ...all.initiator, preferredSuites: [5] }
    expect(ending({}, { ...all, initiator })).toBe('completed')
    expect(ending({ message1: cut }, { ...all, initiator })).toMatch(/^edhoc\//)
  })
})

describe('ephemeral keys of low order', () => {
  // Every X25519 input that gives the all-zero secret (RFC 7748 §6.1): orders 1, 2, 4 and 8 on the
  // curve and its twist, with the encodings that wrap round p.
  const points = [
    '00'.repeat(32),
    `01${'00'.repeat(31)}`,
    'e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800',
    '5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157',
    `ec${'ff'.repeat(30)}7f`,
    `ed${'ff'.repeat(30)}7f`,
    `ee${'ff'.repeat(30)}7f`,
  ]
  const withTopBit = points.map((hex) => {
    const bytes = fromHex(hex)
    return bytes.with(31, (bytes[31] ?? 0) | 0x80)
  })

  test.each([...points.map(fromHex), ...withTopBit])('point %#', (point) => {
    const message1 = (bytes: Uint8Array) => concat(bytes.slice(0, 4), point, bytes.slice(36))
    const message2 = (bytes: Uint8Array) => concat(bytes.slice(0, 2), point, bytes.slice(34))
    expect(ending({ message1 })).toBe('edhoc/bad-key')
    expect(ending({ message2 })).toBe('edhoc/bad-key')
  })
})

describe('who the peer is', () => {
  const mallory = otherDevice('mallory', 66)

  test('a stranger as responder or as initiator', () => {
    const all = parties()
    const responder = { ...all.responder, own: mallory }
    expect(ending({}, { ...all, responder })).toBe('edhoc/bad-signature')
    const initiator = { ...all.initiator, own: mallory }
    expect(ending({}, { ...all, initiator })).toBe('edhoc/bad-signature')
  })

  test('the right key under another credential, and the right credential with another key', () => {
    const all = parties()
    const { cred } = all.initiator.own
    const key = nodeCrypto.verifyKey(all.initiator.own.key.publicKey)
    const otherKey = nodeCrypto.verifyKey(mallory.key.publicKey)
    const believing = (peer: { cred: Uint8Array; key: typeof key }) =>
      ending({}, { ...all, knowsInitiator: () => peer })
    expect(believing({ cred, key })).toBe('completed')
    expect(believing({ cred: mallory.cred, key })).toBe('edhoc/bad-signature')
    expect(believing({ cred, key: otherKey })).toBe('edhoc/bad-signature')
  })

  test('what the judge of credentials throws comes out, and nothing is sent', () => {
    const all = parties()
    for (const code of ['credential/revoked', 'edhoc/unknown-credential']) {
      const refuse = () => {
        throw new CodedError(code, '')
      }
      expect(ending({}, { ...all, knowsResponder: refuse })).toBe(code)
      expect(ending({}, { ...all, knowsInitiator: refuse })).toBe(code)
    }
  })

  test('ourselves: refused by credential and by key alone', () => {
    const all = parties()
    const mirrored = {
      ...all,
      responder: { ...all.responder, own: all.initiator.own },
      knowsResponder: all.knowsInitiator,
    }
    expect(ending({}, mirrored)).toBe('edhoc/own-identity')
    const sameKey = { ...mallory, key: all.initiator.own.key }
    const knowsResponder = knows(nodeCrypto, sameKey)
    const responder = { ...all.responder, own: sameKey }
    expect(ending({}, { ...all, responder, knowsResponder })).toBe('edhoc/own-identity')
  })
})

describe('without the defence the attack works', () => {
  type Library = typeof Authenticate

  async function weakened(change: (original: Library) => Partial<Library>) {
    vi.resetModules()
    vi.doMock('../../libs/edhoc/authenticate.ts', async (importOriginal) => {
      const original = await importOriginal<Library>()
      return { ...original, ...change(original) }
    })
    return import('../support/edhoc-session.ts')
  }

  afterEach(() => {
    vi.doUnmock('../../libs/edhoc/authenticate.ts')
    vi.resetModules()
  })

  test('reflection: a device that accepts itself talks to its own echo', async () => {
    const weak = await weakened((original) => ({
      verifyBinding: (tools, binding, signature, peer) =>
        original.verifyBinding(tools, binding, signature, peer, otherDevice('nobody', 1)),
    }))
    const all = weak.sessionParties(session, nodeCrypto)
    const responder = { ...all.responder, own: all.initiator.own }
    const echo = { ...all, responder, knowsResponder: all.knowsInitiator }
    expect(weak.runHandshake(echo).messages).toHaveLength(4)
  })

  test('misbinding: a signature over the transcript alone passes under a stolen name', async () => {
    const weak = await weakened(() => ({
      signBinding: (_, binding, own) => own.key.sign(binding.th),
      verifyBinding(_, binding, signature, peer) {
        if (!peer.key.verify(binding.th, signature)) throw new CodedError('edhoc/bad-signature', '')
      },
    }))
    // Mallory enrolled the meter's public key as her own; the responder credits her with its session.
    const all = weak.sessionParties(session, nodeCrypto)
    const mallory = otherDevice('mallory', 66)
    const key = nodeCrypto.verifyKey(all.initiator.own.key.publicKey)
    const seen: string[] = []
    const message4 = (bytes: Uint8Array) => {
      seen.push('the responder accepted message_3')
      return bytes
    }
    const misled = { ...all, knowsInitiator: () => ({ cred: mallory.cred, key }) }
    // CRED_I is in TH_4 too, so the initiator notices at message_4: the reason to send it always.
    expect(() => weak.runHandshake(misled, { message4 })).toThrow(coded('edhoc/not-authentic'))
    expect(seen).toHaveLength(1)
  })
})

test('arbitrary bytes end in our error, whatever the state', () => {
  const { initiator, responder, knowsResponder, knowsInitiator } = parties()
  const start = () => startInitiator(initiator)
  const waiting3 = () => responderMessage1(responder, genuine[0]).state
  const waiting4 = () => initiatorMessage2(start().state, genuine[1], knowsResponder).state
  const attempts: ((bytes: Uint8Array) => unknown)[] = [
    (bytes) => responderMessage1(responder, bytes),
    (bytes) => initiatorMessage2(start().state, bytes, knowsResponder),
    (bytes) => responderMessage3(waiting3(), bytes, knowsInitiator),
    (bytes) => initiatorMessage4(waiting4(), bytes),
    (bytes) => decodeError(bytes),
  ]
  const junk = fc.oneof(
    fc.uint8Array({ maxLength: 140 }),
    // one byte string of the right head, the likelier way in
    fc
      .uint8Array({ minLength: 24, maxLength: 140 })
      .map((body) => concat(Uint8Array.of(0x58, body.length), body)),
  )
  fc.assert(
    fc.property(junk, fc.nat(attempts.length - 1), (bytes, which) => {
      const code = outcomeOf(() => attempts[which]?.(bytes))
      expect(code).toMatch(/^(?:edhoc\/.*|completed)$/)
    }),
    { numRuns: Number(process.env['FC_RUNS'] ?? 400) },
  )
})
