import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { equal, fromHex, toHex, utf8 } from '#bytes'
import { encode, type CborValue } from '#cbor'
import { nodeCrypto } from '#crypto-node'
import {
  abandon,
  initiatorMessage2,
  initiatorMessage4,
  responderMessage1,
  responderMessage3,
  startInitiator,
  type EadItem,
} from '#edhoc'
import { runHandshake, sessionParties } from '../support/edhoc-session.ts'
import session from '../vectors/data/edhoc-suite4.json' with { type: 'json' }

const parties = () => sessionParties(session, nodeCrypto)
const coded = (code: string) => expect.objectContaining({ code })

const value = utf8('value')
/** A handshake with the same EAD in every message. */
function run(ead: EadItem[], knownEad: number[] = []) {
  const all = parties()
  const initiator = { ...all.initiator, knownEad, ead1: ead }
  const responder = { ...all.responder, knownEad, ead2: ead }
  return runHandshake({ ...all, initiator, responder }, {}, { ead3: ead, ead4: ead })
}

const byteString = (hex: string) => toHex(encode(fromHex(hex)))

/** RFC 9052 §4.4, written out: ["Signature1", << ID_CRED_x >>, external_aad, MAC_x]. */
function sigStructure(idCred: string, aad: string, mac: string): string {
  return `846a5369676e617475726531${byteString(idCred)}${byteString(aad)}${byteString(mac)}`
}

describe('EAD, RFC 9528 §3.8', () => {
  test('arrives in all four messages, without padding, known or not', () => {
    const items = [
      { label: 0, value },
      { label: 7, value: null },
      { label: 9, value },
      { label: 0, value: null },
    ]
    const expected = [items[1], items[2]]
    const completed = run(items)
    expect(completed.ead).toEqual([expected, expected, expected, expected])
    expect(equal(completed.initiator(1, value, 32), completed.responder(1, value, 32))).toBe(true)
  })

  test('a critical item is accepted when known', () => {
    const critical = [{ label: -7, value }]
    expect(run(critical, [7]).ead).toEqual([critical, critical, critical, critical])
  })

  test.each([1, 2, 3, 4])('an unknown critical item in message_%i ends the session', (message) => {
    const all = parties()
    const ead = [{ label: -7, value: null }]
    const at = (number: number) => (number === message ? ead : [])
    const initiator = { ...all.initiator, ead1: at(1) }
    const responder = { ...all.responder, ead2: at(2) }
    expect(() =>
      runHandshake({ ...all, initiator, responder }, {}, { ead3: at(3), ead4: at(4) }),
    ).toThrow(coded('edhoc/critical-ead'))
  })

  test('is bound by the signatures, padding included', () => {
    const items = [
      { label: 0, value },
      { label: 9, value },
    ]
    const ead = '004576616c7565094576616c7565'
    const all = parties()
    const responder = { ...all.responder, ead2: items }
    runHandshake({ ...all, responder }, {}, { ead3: items })
    const traced = (name: string) => all.traces.responder.get(name) ?? ''
    const { cR, idCredR, idCredI, credR, credI } = session
    const [th2, th3] = [`5820${traced('TH_2')}`, `5820${traced('TH_3')}`]
    // RFC 9528 §5.3.2 and §5.4.2, written out
    expect(traced('context_2')).toBe(`${cR}${idCredR}${th2}${credR}${ead}`)
    expect(traced('context_3')).toBe(`${idCredI}${th3}${credI}${ead}`)
    expect(traced('Message to be signed 2')).toBe(
      sigStructure(idCredR, `${th2}${credR}${ead}`, traced('MAC_2')),
    )
    expect(traced('Message to be signed 3')).toBe(
      sigStructure(idCredI, `${th3}${credI}${ead}`, traced('MAC_3')),
    )
  })

  test('is there for judging the credential', () => {
    const all = parties()
    const seen: (readonly EadItem[])[] = []
    const ead2 = [{ label: 9, value }]
    runHandshake({
      ...all,
      responder: { ...all.responder, ead2 },
      knowsResponder: (idCred, ead) => {
        seen.push(ead)
        return all.knowsResponder(idCred, ead)
      },
    })
    expect(seen).toEqual([ead2])
  })
})

function expectSpent(action: () => unknown): void {
  expect(action).toThrow(coded('edhoc/state-spent'))
}

describe('states', () => {
  test('each is good for one message, also after a failure', () => {
    const { initiator, responder, knowsResponder, knowsInitiator } = parties()
    const m1 = startInitiator(initiator)
    const m2 = responderMessage1(responder, m1.message1)

    const failing = startInitiator(initiator).state
    expect(() => initiatorMessage2(failing, fromHex('40'), knowsResponder)).toThrow(
      coded('edhoc/malformed'),
    )
    expectSpent(() => initiatorMessage2(failing, m2.message2, knowsResponder))

    const m3 = initiatorMessage2(m1.state, m2.message2, knowsResponder)
    expectSpent(() => initiatorMessage2(m1.state, m2.message2, knowsResponder))
    const m4 = responderMessage3(m2.state, m3.message3, knowsInitiator)
    expectSpent(() => responderMessage3(m2.state, m3.message3, knowsInitiator))
    initiatorMessage4(m3.state, m4.message4)
    expectSpent(() => initiatorMessage4(m3.state, m4.message4))
  })

  test('a forgotten step is a compile error, and refused all the same', () => {
    const { initiator, responder, knowsResponder } = parties()
    const m1 = startInitiator(initiator)
    const m2 = responderMessage1(responder, m1.message1)
    // @ts-expect-error message_2 was not processed: there is no authenticated responder yet
    const skipping = () => initiatorMessage4(m1.state, m2.message2)
    // @ts-expect-error a responder cannot go on as an initiator
    const switching = () => initiatorMessage2(m2.state, m2.message2, knowsResponder)
    for (const misuse of [skipping, switching]) expect(misuse).toThrow(coded('edhoc/state-spent'))
  })

  test('session secrets are overwritten at the end, and when a session is given up', () => {
    const { initiator, responder, knowsResponder, knowsInitiator } = parties()
    const m1 = startInitiator(initiator)
    const m2 = responderMessage1(responder, m1.message1)
    const m3 = initiatorMessage2(m1.state, m2.message2, knowsResponder)
    const zero = new Uint8Array(32)
    expect(m2.state.prk).not.toEqual(zero)
    const m4 = responderMessage3(m2.state, m3.message3, knowsInitiator)
    initiatorMessage4(m3.state, m4.message4)
    expect([m2.state.prk, m3.state.prk]).toEqual([zero, zero])

    const givenUp = responderMessage1(responder, m1.message1).state
    abandon(givenUp)
    expect(givenUp.prk).toEqual(zero)
    expect(() => responderMessage3(givenUp, m3.message3, knowsInitiator)).toThrow(
      coded('edhoc/state-spent'),
    )
  })
})

describe('exporter', () => {
  test('is the same on both sides and differs by label, context and length', () => {
    const { initiator, responder } = runHandshake(parties())
    const keys = [
      [1, 'a', 32],
      [2, 'a', 32],
      [1, 'b', 32],
      [1, 'a', 31],
    ] as const
    const hex = (exporter: typeof initiator) =>
      keys.map(([label, context, length]) => toHex(exporter(label, utf8(context), length)))
    expect(hex(initiator)).toEqual(hex(responder))
    expect(new Set(hex(initiator)).size).toBe(4)
    expect(hex(initiator)[0]?.startsWith(hex(initiator)[3] ?? '')).toBe(false)
  })

  test('keyUpdate moves both sides on together, and only together', () => {
    const { initiator, responder } = runHandshake(parties())
    const before = initiator(1, utf8(''), 32)
    initiator.keyUpdate(utf8('once'))
    expect(initiator(1, utf8(''), 32)).not.toEqual(before)
    expect(responder(1, utf8(''), 32)).toEqual(before)
    responder.keyUpdate(utf8('once'))
    expect(initiator(1, utf8(''), 32)).toEqual(responder(1, utf8(''), 32))
  })

  test('every keyUpdate starts from the one before', () => {
    const all = parties()
    const { initiator, responder } = runHandshake(all)
    for (const context of ['a', 'b', 'c']) {
      const before = fromHex(all.traces.initiator.get('PRK_out') ?? '')
      initiator.keyUpdate(utf8(context))
      // EDHOC_KDF( old PRK_out, 11, context, 32 ), RFC 9528 Appendix H
      const info = fromHex(`0b41${toHex(utf8(context))}1820`)
      expect(all.traces.initiator.get('PRK_out')).toBe(
        toHex(nodeCrypto.hkdfExpand(before, info, 32)),
      )
    }
    for (const context of ['b', 'a', 'c']) responder.keyUpdate(utf8(context))
    expect(responder(1, utf8(''), 32)).not.toEqual(initiator(1, utf8(''), 32))
  })

  test('gives nothing once wiped, and takes unsigned labels only', () => {
    const { initiator } = runHandshake(parties())
    for (const label of [-1, 1.5, Number.NaN])
      expect(() => initiator(label, utf8(''), 32)).toThrow(coded('edhoc/bad-argument'))
    initiator.wipe()
    expect(() => initiator(1, utf8(''), 32)).toThrow(coded('edhoc/state-spent'))
    expect(() => initiator.keyUpdate(utf8(''))).toThrow(coded('edhoc/state-spent'))
  })
})

test('any identifiers, credentials and EAD: both sides end with the same key', () => {
  const bytes = fc.uint8Array({ maxLength: 8 }).map((array) => Uint8Array.from(array))
  const ead = fc.array(fc.record({ label: fc.nat(70_000), value: fc.option(bytes) }), {
    maxLength: 3,
  })
  const idCred = fc.oneof(
    bytes.map((kid): CborValue => new Map([[4, kid]])),
    bytes.map((hash): CborValue => new Map([[34, [-15, hash]]])),
    bytes.map((cwt): CborValue => new Map([[13, [cwt, new Map<number, CborValue>(), cwt, cwt]]])),
  )
  fc.assert(
    fc.property(
      bytes,
      bytes,
      fc.tuple(ead, ead, ead, ead),
      idCred,
      idCred,
      (cI, cR, eads, i, r) => {
        fc.pre(!equal(cI, cR))
        const all = parties()
        const initiator = {
          ...all.initiator,
          cI,
          ead1: eads[0],
          own: { ...all.initiator.own, idCred: i },
        }
        const responder = {
          ...all.responder,
          cR,
          ead2: eads[1],
          own: { ...all.responder.own, idCred: r },
        }
        const done = runHandshake(
          { ...all, initiator, responder },
          {},
          { ead3: eads[2], ead4: eads[3] },
        )
        expect(done.initiator(0, utf8(''), 32)).toEqual(done.responder(0, utf8(''), 32))
        expect([done.initiatorIdCred, done.responderIdCred]).toEqual([i, r])
        expect(done.ead).toEqual(eads.map((items) => items.filter(({ label }) => label !== 0)))
      },
    ),
    { numRuns: Number(process.env['FC_RUNS'] ?? 100) },
  )
})
