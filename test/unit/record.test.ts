import { describe, expect, test } from 'vitest'
import { fromHex, toHex, utf8 } from '#bytes'
import { encode } from '#cbor'
import { decryptEncrypt0, encryptEncrypt0 } from '#cose'
import { nobleCrypto } from '#crypto'
import { nodeCrypto } from '#crypto-node'
import { defaults } from '#defaults'
import {
  createOpener,
  createSealer,
  deriveRecordPair,
  epochBits,
  expandRecord,
  isRecord,
} from '#record'
import { runHandshake, sessionParties } from '../support/edhoc-session.ts'
import { outcome, recordContext, testKey, textbookRecord } from '../support/records.ts'
import { breakTag } from '../support/tamper.ts'
import session from '../vectors/data/edhoc-suite4.json' with { type: 'json' }

const PLAINTEXT = utf8('power 231 W')
const AT = 1_000
const { record: limits } = defaults

describe('layout', () => {
  test('a sealer writes what the definition says, wherever the Partial IV grows', () => {
    const context = recordContext({ epoch: 6, key: nodeCrypto.aead(new Uint8Array(32)) })
    const sealer = createSealer(context)
    const frames = Array.from({ length: 65_538 }, () => sealer.seal(PLAINTEXT, AT))
    for (const counter of [0, 1, 255, 256, 257, 65_535, 65_536, 65_537])
      expect(frames[counter]).toEqual(textbookRecord(context, counter, PLAINTEXT))
    expect(sealer.records).toBe(65_538)
  })

  test.each([
    { counter: 0, head: '1000' },
    { counter: 255, head: '10ff' },
    { counter: 256, head: '110100' },
    { counter: 65_536, head: '12010000' },
  ])('counter $counter of epoch 2 begins $head', ({ counter, head }) => {
    const frame = textbookRecord(recordContext({ epoch: 2 }), counter, PLAINTEXT)
    expect(toHex(frame).startsWith(head)).toBe(true)
    expect(frame.length).toBe(head.length / 2 + PLAINTEXT.length + 16)
    expect(isRecord(frame)).toBe(true)
    expect(epochBits(frame)).toBe(2)
  })

  test('handshake frames and the "unknown session" hint are no records', () => {
    for (const first of [0x20, 0x37, 0xf5, 0xf6]) expect(isRecord(Uint8Array.of(first))).toBe(false)
    expect(isRecord(new Uint8Array())).toBe(false)
  })

  test('opening gives back every plaintext, in order, also an empty one', () => {
    const [sealer, opener] = [createSealer(recordContext()), createOpener(recordContext())]
    for (let counter = 0; counter < 300; counter++) {
      const plaintext = new Uint8Array(counter % 50).fill(counter)
      expect(opener.open(sealer.seal(plaintext, AT), AT)).toEqual({ plaintext, counter })
    }
  })

  test.each(['noble', 'node'] as const)('noble and %s open each other', (name) => {
    const secret = new Uint8Array(32).fill(1)
    const other = (name === 'noble' ? nobleCrypto : nodeCrypto).aead(secret)
    const noble = nobleCrypto.aead(secret)
    const frame = createSealer(recordContext({ key: noble })).seal(PLAINTEXT, AT)
    const opened = createOpener(recordContext({ key: other })).open(frame, AT)
    expect(opened).toEqual({ plaintext: PLAINTEXT, counter: 0 })
  })
})

describe('a record is a COSE_Encrypt0', () => {
  test('expanded, it is the COSE_Encrypt0 its context makes, and opens as one', () => {
    const context = recordContext({ epoch: 1, direction: 1 })
    const frame = textbookRecord(context, 70_000, PLAINTEXT)
    const message = expandRecord(frame) ?? new Uint8Array()
    const externalAad = encode(['abcdefgh', 1, 1])
    const options = { externalAad, context }
    expect(decryptEncrypt0(message, testKey, options).payload).toEqual(PLAINTEXT)
    const partialIv = fromHex('011170') // 70,000
    const made = { key: testKey, payload: PLAINTEXT, partialIv, ...options }
    expect(encryptEncrypt0(made)).toEqual(message)
    const elsewhere = { context, externalAad: encode(['abcdefgh', 1, 2]) }
    expect(() => decryptEncrypt0(message, testKey, elsewhere)).toThrow('does not fit')
  })

  test('what is no record expands to nothing', () => {
    for (const hex of ['', '00', '0000', '20', 'f6']) expect(expandRecord(fromHex(hex))).toBe(null)
  })
})

/** Both sides' records after a real handshake. */
function derive(channelId = 'abcdefgh', epoch = 0) {
  const { initiator, responder } = runHandshake(sessionParties(session))
  const common = { channelId, epoch, monoMs: AT } as const
  return {
    initiator: deriveRecordPair(initiator, nobleCrypto, { role: 'initiator', ...common }),
    responder: deriveRecordPair(responder, nobleCrypto, { role: 'responder', ...common }),
  }
}

describe('keys from EDHOC', () => {
  test('each side opens what the other seals', () => {
    const { initiator, responder } = derive()
    const up = initiator.sealer.seal(PLAINTEXT, AT)
    const down = responder.sealer.seal(PLAINTEXT, AT)
    expect(outcome(responder.opener.open(up, AT))).toBe('opened')
    expect(outcome(initiator.opener.open(down, AT))).toBe('opened')
    expect(toHex(up)).not.toBe(toHex(down))
  })

  test('labels 32768 to 32771 with the channel id as context', () => {
    const { initiator } = runHandshake(sessionParties(session))
    const context = utf8('abcdefgh')
    const textbook = (direction: 0 | 1) =>
      recordContext({
        key: nobleCrypto.aead(initiator(32768 + direction, context, 32)),
        iv: initiator(32770 + direction, context, 12),
        direction,
      })
    const pairs = derive()
    const sealed = pairs.initiator.sealer.seal(PLAINTEXT, AT)
    expect(sealed).toEqual(textbookRecord(textbook(0), 0, PLAINTEXT))
    expect(
      outcome(pairs.initiator.opener.open(textbookRecord(textbook(1), 0, PLAINTEXT), AT)),
    ).toBe('opened')
  })

  test('another channel id gives other keys', () => {
    const frame = derive('abcdefgh').initiator.sealer.seal(PLAINTEXT, AT)
    expect(outcome(derive('abcdefgi').responder.opener.open(frame, AT))).toBe('forged')
  })
})

describe('limits', () => {
  test('a sealer asks for a rekey by age and by count', () => {
    const few = createSealer(recordContext({ limits: { rekeyAfterRecords: 3 } }))
    for (const expected of [false, false, false, true]) {
      expect(few.needsRekey(AT)).toBe(expected)
      few.seal(PLAINTEXT, AT)
    }
    const old = createSealer(recordContext())
    expect(old.needsRekey(AT + limits.rekeyAfterMs - 1)).toBe(false)
    expect(old.needsRekey(AT + limits.rekeyAfterMs)).toBe(true)
  })

  test('an opener asks for a rekey too, since the other side may be the talkative one', () => {
    const context = recordContext({ limits: { rekeyAfterRecords: 3 } })
    const opener = createOpener(context)
    opener.open(textbookRecord(context, 1, PLAINTEXT), AT)
    expect(opener.needsRekey(AT)).toBe(false)
    opener.open(textbookRecord(context, 2, PLAINTEXT), AT)
    expect(opener.needsRekey(AT)).toBe(true)
    expect(createOpener(context).needsRekey(AT + limits.rekeyAfterMs)).toBe(true)
  })

  test('a sealer stops at the refuse limits and stays stopped', () => {
    const few = createSealer(recordContext({ limits: { refuseAfterRecords: 2 } }))
    few.seal(PLAINTEXT, AT)
    few.seal(PLAINTEXT, AT)
    for (let again = 0; again < 3; again++)
      expect(() => few.seal(PLAINTEXT, AT)).toThrow(
        expect.objectContaining({ code: 'record/exhausted' }),
      )
    const old = createSealer(recordContext())
    old.seal(PLAINTEXT, AT + limits.refuseAfterMs - 1)
    expect(() => old.seal(PLAINTEXT, AT + limits.refuseAfterMs)).toThrow(
      expect.objectContaining({ code: 'record/exhausted' }),
    )
  })

  test('an opener refuses old keys, and counters beyond the limit when they are authentic', () => {
    const context = recordContext()
    const last = textbookRecord(context, limits.refuseAfterRecords - 1, PLAINTEXT)
    const over = textbookRecord(context, limits.refuseAfterRecords, PLAINTEXT)
    const opener = createOpener(context)
    expect(outcome(opener.open(over, AT))).toBe('expired')
    expect(outcome(opener.open(last, AT))).toBe('opened')
    const forged = breakTag(over)
    expect(outcome(opener.open(forged, AT))).toBe('forged')
    const first = textbookRecord(context, 0, PLAINTEXT)
    const old = createOpener(context)
    expect(outcome(old.open(first, AT + limits.refuseAfterMs))).toBe('expired')
    expect(outcome(old.open(first, AT + limits.refuseAfterMs - 1))).toBe('opened')
  })

  test('failed openings raise the alarm, then end the session', () => {
    const context = recordContext({ limits: { alarmAfterFailures: 3, dropAfterFailures: 5 } })
    const opener = createOpener(context)
    const genuine = textbookRecord(context, 0, PLAINTEXT)
    const forged = breakTag(genuine)
    const seen = Array.from({ length: 6 }, () => {
      const result = outcome(opener.open(forged, AT))
      return [result, opener.failures, opener.alarm, opener.drop]
    })
    expect(seen).toEqual([
      ['forged', 1, false, false],
      ['forged', 2, false, false],
      ['forged', 3, true, false],
      ['forged', 4, true, false],
      ['forged', 5, true, true],
      ['expired', 5, true, true],
    ])
    expect(outcome(opener.open(genuine, AT))).toBe('expired')
  })

  test('an IV of the wrong length is refused at once', () => {
    const context = recordContext({ iv: new Uint8Array(11) })
    for (const create of [createSealer, createOpener])
      expect(() => create(context)).toThrow(
        expect.objectContaining({ code: 'record/bad-argument' }),
      )
  })
})
