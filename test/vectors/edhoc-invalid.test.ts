import { describe, expect, test } from 'vitest'
import { fromHex, toHex } from '#bytes'
import { encode } from '#cbor'
import { nobleCrypto } from '#crypto'
import { codeOf } from '#errors'
import { initiatorMessage2, responderMessage1, responderMessage3, startInitiator } from '#edhoc'
import { responderOf, sealPlaintext2, sealPlaintext3 } from '../support/edhoc-hostile.ts'
import { sessionParties } from '../support/edhoc-session.ts'
import { readExcerpt } from '../support/excerpts.ts'
import suite4Session from './data/edhoc-suite4.json' with { type: 'json' }

const parties = () => sessionParties(suite4Session)

function codeOfRefusal(action: () => unknown): string {
  try {
    action()
  } catch (error) {
    return codeOf(error)
  }
  return 'accepted'
}

const refuseMessage1 = (hex: string) =>
  codeOfRefusal(() => responderMessage1(parties().responder, fromHex(hex)))

const refuseMessage2 = (message2: Uint8Array) => {
  const { initiator, knowsResponder } = parties()
  return codeOfRefusal(() =>
    initiatorMessage2(startInitiator(initiator).state, message2, knowsResponder),
  )
}

/** The initiator's answer to a PLAINTEXT_2 a real responder encrypted for it. */
const refusePlaintext2 = (plaintext: Uint8Array) => {
  const { initiator, responder, knowsResponder } = parties()
  const started = startInitiator(initiator)
  const message2 = sealPlaintext2(responderOf(responder, started.message1), plaintext)
  return codeOfRefusal(() => initiatorMessage2(started.state, message2, knowsResponder))
}

/** What we say to each invalid message of RFC 9529 §4, by its title there. */
const EXPECTED: Record<string, string> = {
  'Surplus array encoding of message': 'edhoc/malformed',
  'Surplus bstr encoding of connection identifier': 'edhoc/malformed',
  'Surplus array encoding of ciphersuite': 'edhoc/malformed',
  'Text string encoding of ephemeral key': 'edhoc/malformed',
  'Wrong number of CBOR sequence elements': 'edhoc/malformed',
  'Surplus map encoding of ID_CRED field': 'edhoc/malformed',
  'Surplus bstr encoding of ID_CRED field': 'edhoc/malformed',
  // Well formed, but of method 3; the same defects in method 0 are below.
  'Error in length of ephemeral key': 'edhoc/unsupported-method',
  'Error in elliptic curve representation': 'edhoc/unsupported-method',
  'Error in elliptic curve point': 'edhoc/unsupported-method',
  'Curve point of low order': 'edhoc/unsupported-method',
  'Error in length of MAC': 'edhoc/malformed',
  'Error in elliptic curve encoding': 'edhoc/unsupported-method',
  'Unnecessary long encoding': 'edhoc/malformed',
  'Indefinite-length array encoding': 'edhoc/malformed',
}

describe('RFC 9529 §4, as published', () => {
  const { invalid } = readExcerpt('edhoc-rfc9529')

  test('all fifteen are here', () => {
    expect(invalid.map((entry) => entry.case).toSorted()).toEqual(Object.keys(EXPECTED).toSorted())
    expect(invalid.filter((entry) => entry.message === 'message_1')).toHaveLength(11)
  })

  test.each(invalid)('$message: $case', ({ case: title, message, hex }) => {
    const refuse = {
      message_1: () => refuseMessage1(hex),
      message_2: () => refuseMessage2(fromHex(hex)),
      PLAINTEXT_2: () => refusePlaintext2(fromHex(hex)),
    }[message]
    expect(refuse?.()).toBe(EXPECTED[title])
  })
})

describe('the same defects in method 0 and suite 4, where nothing else is wrong', () => {
  const gX = '31f82c7b5b9cbbf0f194d913cc12ef1532d328ef32632a4881a1c0701e237f04'
  const message1: [title: string, hex: string, expected: string][] = [
    ['valid', `00045820${gX}0e`, 'accepted'],
    ['surplus array around the message', `8400045820${gX}0e`, 'edhoc/malformed'],
    ['surplus bstr around C_I', `00045820${gX}410e`, 'edhoc/malformed'],
    ['surplus array around the suite', `0081045820${gX}0e`, 'edhoc/malformed'],
    ['text string for G_X', `00047820${'61'.repeat(32)}0e`, 'edhoc/malformed'],
    ['G_X one byte short', `0004581f${gX.slice(2)}0e`, 'edhoc/bad-key'],
    ['G_X one byte long', `00045821${gX}000e`, 'edhoc/bad-key'],
    ['G_X of low order', `00045820ed${'ff'.repeat(30)}7f0e`, 'edhoc/bad-key'],
    ['METHOD in 16 bits', `190000045820${gX}0e`, 'edhoc/malformed'],
    ['indefinite-length SUITES_I', `009f0204ff5820${gX}0e`, 'edhoc/malformed'],
    ['indefinite-length G_X', `00045f5820${gX}ff0e`, 'edhoc/malformed'],
    ['length of G_X in 16 bits', `0004590020${gX}0e`, 'edhoc/malformed'],
    ['C_I beyond one byte', `00045820${gX}1818`, 'edhoc/malformed'],
    ['C_I a text', `00045820${gX}6161`, 'edhoc/malformed'],
    ['no C_I', `00045820${gX}`, 'edhoc/malformed'],
    ['nothing', '', 'edhoc/malformed'],
    ['METHOD a float', `f90000045820${gX}0e`, 'edhoc/malformed'],
    ['METHOD true, as before message_1 on the wire', `f500045820${gX}0e`, 'edhoc/malformed'],
    ['a tag', `00c1045820${gX}0e`, 'edhoc/malformed'],
    ['method 1', `01045820${gX}0e`, 'edhoc/unsupported-method'],
    ['suites [4, 5], 4 preferred and supported', `008204055820${gX}0e`, 'edhoc/wrong-suite'],
    ['suites [4, 4]', `008204045820${gX}0e`, 'edhoc/wrong-suite'],
    ['suites [5, 4]', `008205045820${gX}0e`, 'accepted'],
    ['suite 0', `00005820${gX}0e`, 'edhoc/wrong-suite'],
    ['suites []', `00805820${gX}0e`, 'edhoc/malformed'],
    ['suites ["", 4]', `008260045820${gX}0e`, 'edhoc/malformed'],
    ['suite 4 beyond 64 bits', `003bffffffffffffffff5820${gX}0e`, 'edhoc/malformed'],
    ['EAD_1 without a label', `00045820${gX}0e4100`, 'edhoc/malformed'],
    ['EAD_1 with two values', `00045820${gX}0e0141004100`, 'edhoc/malformed'],
    ['EAD_1 with a text value', `00045820${gX}0e016161`, 'edhoc/malformed'],
    ['EAD_1 critical and unknown', `00045820${gX}0e24`, 'edhoc/critical-ead'],
    ['EAD_1 not critical', `00045820${gX}0e0441ff05`, 'accepted'],
  ]
  test.each(message1)('message_1: %s', (_, hex, expected) => {
    expect(refuseMessage1(hex)).toBe(expected)
  })

  test('a message longer than the limit is not even parsed', () => {
    const padding = `0059${(1000).toString(16).padStart(4, '0')}${'00'.repeat(1000)}`
    expect(refuseMessage1(`00045820${gX}0e${padding}`)).toBe('edhoc/too-large')
  })

  const gY = fromHex('dc88d2d51da5ed67fc4616356bc8ca74ef9ebe8b387e623a360ba480b9b29d1c')
  test.each([
    ['two byte strings', Uint8Array.from([...encode(gY), ...encode(gY)])],
    ['an array', encode([gY])],
    ['a text', encode('a'.repeat(100))],
    ['no CIPHERTEXT_2', encode(gY)],
    ['shorter than G_Y', encode(gY.slice(1))],
    ['nothing', new Uint8Array()],
  ])('message_2: %s', (_, message2) => {
    expect(refuseMessage2(message2)).toBe('edhoc/malformed')
  })

  test('message_2: G_Y of low order', () => {
    const low = Uint8Array.from({ length: 100 }, (_, i) => (i === 0 ? 1 : 0))
    expect(refuseMessage2(encode(low))).toBe('edhoc/bad-key')
  })

  const signature = nobleCrypto.signingKey(fromHex(suite4Session.skR)).sign(new Uint8Array())
  const sig = toHex(encode(signature))
  const short = `583f${sig.slice(6)}`
  test.each([
    ['form is right, signature is not', `0832${sig}`, 'edhoc/bad-signature'],
    ['surplus map around kid', `08a1044132${sig}`, 'edhoc/malformed'],
    ['surplus bstr around kid', `084132${sig}`, 'edhoc/malformed'],
    ['kid an integer inside a map', `08a10432${sig}`, 'edhoc/malformed'],
    ['empty map', `08a0${sig}`, 'edhoc/malformed'],
    ['ID_CRED_R a text', `086132${sig}`, 'edhoc/malformed'],
    ['C_R surplus bstr', `410832${sig}`, 'edhoc/malformed'],
    ['signature one byte short', `0832${short}`, 'edhoc/malformed'],
    ['no signature', '0832', 'edhoc/malformed'],
    ['EAD_2 critical and unknown', `0832${sig}20`, 'edhoc/critical-ead'],
    ['EAD_2 without a label', `0832${sig}40`, 'edhoc/malformed'],
    ['unsorted map', `08a218224101044132${sig}`, 'edhoc/malformed'],
  ])('PLAINTEXT_2: %s', (_, hex, expected) => {
    expect(refusePlaintext2(fromHex(hex))).toBe(expected)
  })

  test.each([
    ['form is right, signature is not', `2b${sig}`, 'edhoc/bad-signature'],
    ['surplus map around kid', `a104412b${sig}`, 'edhoc/malformed'],
    ['surplus bstr around kid', `412b${sig}`, 'edhoc/malformed'],
    ['a C_I in front', `2d2b${sig}`, 'edhoc/malformed'],
    ['signature one byte short', `2b${short}`, 'edhoc/malformed'],
    ['no signature', '2b', 'edhoc/malformed'],
    ['EAD_3 critical and unknown', `2b${sig}20`, 'edhoc/critical-ead'],
    ['EAD_3 without a label', `2b${sig}40`, 'edhoc/malformed'],
    ['nothing', '', 'edhoc/malformed'],
  ])('PLAINTEXT_3: %s', (_, hex, expected) => {
    const all = parties()
    const { state, message3 } = sealPlaintext3(all, fromHex(hex))
    expect(codeOfRefusal(() => responderMessage3(state, message3, all.knowsInitiator))).toBe(
      expected,
    )
  })
})
