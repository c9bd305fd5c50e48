import { describe, expect, test } from 'vitest'
import { fromHex, toHex, utf8 } from '#bytes'
import { decode, type CborValue } from '#cbor'
import { nodeCrypto } from '#crypto-node'
import {
  decodeError,
  encodeError,
  errorMessageFor,
  initiatorMessage2,
  isErrorMessage,
  kcwt,
  kcwtFrom,
  responderMessage1,
  startInitiator,
  suite4,
  type ErrorMessage,
} from '#edhoc'
import { CodedError } from '#errors'
import { runHandshake, sessionParties } from '../support/edhoc-session.ts'
import session from '../vectors/data/edhoc-suite4.json' with { type: 'json' }

const parties = () => sessionParties(session, nodeCrypto)
const coded = (code: string) => expect.objectContaining({ code })

const neighbour = (id: Uint8Array) => id.map((byte) => byte ^ 1)

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
    const { message2 } = responderMessage1({ ...responder, cR: neighbour }, started.message1)
    const answer = initiatorMessage2(started.state, message2, knowsResponder)
    expect(answer.cR).toEqual(neighbour(initiator.cI))
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

/** METHOD and SUITES_I of message_1, as hex. */
const suitesOf = (preferredSuites: number[]) =>
  toHex(startInitiator({ ...parties().initiator, preferredSuites }).message1).split('5820')[0]

describe('SUITES_I, RFC 9528 §5.2.2, §6.3', () => {
  test('one suite is an integer; the selected one stands last among several', () => {
    expect(suitesOf([])).toBe('0004')
    expect(suitesOf([5])).toBe('00820504')
    expect(suitesOf([24, 5, 6])).toBe('00841818050604')
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

const answer = (error: unknown) => decodeError(errorMessageFor(error, [4]))

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
    expect(answer(new CodedError('edhoc/wrong-suite', ''))).toEqual({ code: 2, suites: [4] })
    expect(answer(new CodedError('edhoc/unknown-credential', ''))).toEqual({ code: 3 })
    expect(answer(new CodedError('credential/revoked', 'secret'))).toEqual({
      code: 1,
      text: 'credential/revoked',
    })
    expect(answer(new Error('internal detail'))).toEqual({ code: 1, text: 'unexpected' })
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
