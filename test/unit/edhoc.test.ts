import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { equal, fromHex, toHex, utf8 } from '#bytes'
import { decode, type CborValue } from '#cbor'
import { nodeCrypto } from '#crypto-node'
import {
  abandon,
  decodeError,
  encodeError,
  errorMessageFor,
  initiatorMessage2,
  initiatorMessage4,
  isErrorMessage,
  kcwt,
  kcwtFrom,
  responderMessage1,
  responderMessage3,
  startInitiator,
  suite4,
  type EadItem,
  type ErrorMessage,
} from '#edhoc'
import { CodedError } from '#errors'
import { runHandshake, sessionParties } from '../support/edhoc-session.ts'
import session from '../vectors/data/edhoc-suite4.json' with { type: 'json' }

const parties = () => sessionParties(session, nodeCrypto)
const coded = (code: string) => expect.objectContaining({ code })

describe('connection identifiers, RFC 9528 §3.3.2', () => {
  test.each([
    { id: '21', sent: '21' },
    { id: '0d', sent: '0d' },
    { id: '18', sent: '4118' },
    { id: '38', sent: '4138' },
    { id: 'abcd', sent: '42abcd' },
    { id: '', sent: '40' },
    { id: '00', sent: '00' },
    { id: '17', sent: '17' },
    { id: '20', sent: '20' },
    { id: '37', sent: '37' },
    { id: '1f', sent: '411f' },
  ])('$id travels as $sent', ({ id, sent }) => {
    const { initiator, responder } = parties()
    const { message1 } = startInitiator({ ...initiator, cI: fromHex(id) })
    expect(toHex(message1).slice(2 * 36)).toBe(sent)
    expect(toHex(responderMessage1(responder, message1).cI)).toBe(id)
  })

  test('C_R may be chosen once C_I is known', () => {
    const { initiator, responder, knowsResponder } = parties()
    const started = startInitiator(initiator)
    const cR = (cI: Uint8Array) => cI.map((byte) => byte ^ 1)
    const { message2 } = responderMessage1({ ...responder, cR }, started.message1)
    const answer = initiatorMessage2(started.state, message2, knowsResponder)
    expect(answer.cR).toEqual(initiator.cI.map((byte) => byte ^ 1))
  })

  test('equal identifiers are refused on both sides', () => {
    const { initiator, responder, knowsResponder } = parties()
    const started = startInitiator(initiator)
    const same = { ...responder, cR: initiator.cI }
    expect(() => responderMessage1(same, started.message1)).toThrow(coded('edhoc/same-identifier'))
    // A responder that does not care: C_I is looked away from while it answers.
    const careless = { ...responder, cR: Uint8Array.from(initiator.cI) }
    const other = startInitiator({ ...initiator, cI: Uint8Array.of(0x30) })
    const { message2 } = responderMessage1(careless, other.message1)
    const state = { ...other.state, cI: initiator.cI }
    expect(() => initiatorMessage2(state, message2, knowsResponder)).toThrow(
      coded('edhoc/same-identifier'),
    )
  })
})

describe('SUITES_I, RFC 9528 §5.2.2, §6.3', () => {
  const suitesOf = (preferredSuites: number[]) =>
    toHex(startInitiator({ ...parties().initiator, preferredSuites }).message1).split('5820')[0]

  test('one suite is an integer; the selected one stands last among several', () => {
    expect(suitesOf([])).toBe('0004')
    expect(suitesOf([5])).toBe('00820504')
    expect(suitesOf([24, 5, 6])).toBe('0084181805' + '0604')
  })

  test('the refusal names what we support, and a second try goes through', () => {
    const { initiator, responder } = parties()
    const guess = { ...suite4(nodeCrypto), id: 5 }
    const first = startInitiator({ ...initiator, suite: guess })
    let answer = new Uint8Array()
    try {
      responderMessage1(responder, first.message1)
    } catch (error) {
      answer = Uint8Array.from(errorMessageFor(error, [responder.suite.id]))
    }
    expect(decodeError(answer)).toEqual({ code: 2, suites: [4] })
    const all = parties()
    runHandshake({ ...all, initiator: { ...all.initiator, preferredSuites: [5] } })
  })
})

describe('error messages, RFC 9528 §6', () => {
  const forms: [ErrorMessage, string][] = [
    [{ code: 1, text: 'Method not supported' }, '01744d6574686f64206e6f7420737570706f72746564'],
    [{ code: 2, suites: [4] }, '0204'],
    [{ code: 2, suites: [9, 8] }, '02820908'],
    [{ code: 3 }, '03f5'],
    [{ code: 'other', number: -7, info: null }, '26f6'],
  ]
  test.each(forms)('%o', (error, hex) => {
    expect(toHex(encodeError(error))).toBe(hex)
    expect(decodeError(fromHex(hex))).toEqual(error)
    expect(isErrorMessage(fromHex(hex))).toBe(true)
  })

  test('code 0 is never sent, and recognized when it comes', () => {
    expect(() => encodeError({ code: 0 })).toThrow(coded('edhoc/bad-argument'))
    for (const hex of ['00', '00f5']) expect(decodeError(fromHex(hex))).toEqual({ code: 0 })
  })

  test.each(['', '01', '0104', '0204f5', '0240', '028104', '03f4', '03', 'f503', '1801f5', '0161'])(
    'malformed: %s',
    (hex) => {
      expect(() => decodeError(fromHex(hex))).toThrow(coded('edhoc/malformed'))
    },
  )

  test('no handshake message after message_1 looks like an error', () => {
    const [, ...messages] = runHandshake(parties()).messages
    for (const message of messages) expect(isErrorMessage(message)).toBe(false)
    expect(isErrorMessage(new Uint8Array())).toBe(false)
  })

  test('what went wrong becomes the right ERR_CODE', () => {
    const answer = (error: unknown) => decodeError(errorMessageFor(error, [4]))
    expect(answer(new CodedError('edhoc/wrong-suite', ''))).toEqual({ code: 2, suites: [4] })
    expect(answer(new CodedError('edhoc/unknown-credential', ''))).toEqual({ code: 3 })
    expect(answer(new CodedError('credential/revoked', 'secret'))).toEqual({
      code: 1,
      text: 'credential/revoked',
    })
    expect(answer(new Error('internal detail'))).toEqual({ code: 1, text: 'unexpected' })
  })
})

describe('EAD, RFC 9528 §3.8', () => {
  const value = utf8('value')
  const run = (ead: EadItem[], knownEad: number[] = []) => {
    const all = parties()
    const initiator = { ...all.initiator, knownEad, ead1: ead }
    const responder = { ...all.responder, knownEad, ead2: ead }
    return runHandshake({ ...all, initiator, responder }, {}, { ead3: ead, ead4: ead })
  }

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

describe('states', () => {
  test('each is good for one message, also after a failure', () => {
    const { initiator, responder, knowsResponder, knowsInitiator } = parties()
    const m1 = startInitiator(initiator)
    const m2 = responderMessage1(responder, m1.message1)
    const again = (action: () => unknown) => expect(action).toThrow(coded('edhoc/state-spent'))

    const failing = startInitiator(initiator).state
    expect(() => initiatorMessage2(failing, fromHex('40'), knowsResponder)).toThrow()
    again(() => initiatorMessage2(failing, m2.message2, knowsResponder))

    const m3 = initiatorMessage2(m1.state, m2.message2, knowsResponder)
    again(() => initiatorMessage2(m1.state, m2.message2, knowsResponder))
    const m4 = responderMessage3(m2.state, m3.message3, knowsInitiator)
    again(() => responderMessage3(m2.state, m3.message3, knowsInitiator))
    initiatorMessage4(m3.state, m4.message4)
    again(() => initiatorMessage4(m3.state, m4.message4))
  })

  test('a forgotten step is a compile error', () => {
    const { initiator, responder, knowsResponder } = parties()
    const m1 = startInitiator(initiator)
    const m2 = responderMessage1(responder, m1.message1)
    // @ts-expect-error message_2 was not processed: there is no authenticated responder yet
    expect(() => initiatorMessage4(m1.state, m2.message2)).toThrow()
    // @ts-expect-error a responder cannot go on as an initiator
    expect(() => initiatorMessage2(m2.state, m2.message2, knowsResponder)).toThrow()
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

  test('gives nothing once wiped, and takes unsigned labels only', () => {
    const { initiator } = runHandshake(parties())
    for (const label of [-1, 1.5, Number.NaN])
      expect(() => initiator(label, utf8(''), 32)).toThrow(coded('edhoc/bad-argument'))
    initiator.wipe()
    expect(() => initiator(1, utf8(''), 32)).toThrow(coded('edhoc/state-spent'))
    expect(() => initiator.keyUpdate(utf8(''))).toThrow(coded('edhoc/state-spent'))
  })
})

describe('ID_CRED', () => {
  const cwt = fromHex('8443a10127a0581ca104015840')
  const encoded = fromHex('8443a10127a041a04100')

  test('a CWT by value goes in and comes out', () => {
    expect(kcwt(encoded)).toEqual(new Map([[13, decode(encoded)]]))
    expect(kcwtFrom(kcwt(encoded))).toEqual(encoded)
    expect(() => kcwt(cwt)).toThrow(coded('edhoc/bad-argument'))
  })

  test.each<[string, CborValue]>([
    ['kid', new Map([[4, utf8('k')]])],
    ['two parameters', new Map<number, CborValue>([[13, []], [4, utf8('k')]])], // prettier-ignore
    ['a byte string', new Map([[13, utf8('k')]])],
    ['no map', 13],
  ])('kcwtFrom refuses %s', (_, idCred) => {
    expect(() => kcwtFrom(idCred)).toThrow(coded('edhoc/malformed'))
  })

  test('our own must be a header map', () => {
    const all = parties()
    for (const idCred of [new Map<number, CborValue>(), 4, null]) {
      const responder = { ...all.responder, own: { ...all.responder.own, idCred } }
      expect(() => runHandshake({ ...all, responder })).toThrow(coded('edhoc/bad-argument'))
    }
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
