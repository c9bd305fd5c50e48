import { afterEach, describe, expect, test, vi } from 'vitest'
import { utf8 } from '#bytes'
import { encode } from '#cbor'
import { encStructure } from '#cose'
import { nobleCrypto } from '#crypto'
import { createOpener, createSealer, type RecordContext } from '#record'
import type * as Record from '#record'
import { otherDirection, outcome, recordContext, textbookRecord } from '../support/records.ts'
import { breakTag, flipBit } from '../support/tamper.ts'

const PLAINTEXT = utf8('power 231 W')
const AT = 1_000

type Exports = { [name: string]: unknown }

/** The real library with one of its modules changed: what would happen without that defence. */
async function weakened(
  module: string,
  change: (original: Exports) => Exports,
): Promise<typeof Record> {
  vi.resetModules()
  vi.doMock(module, async (importOriginal) => {
    const original = await importOriginal<Exports>()
    return { ...original, ...change(original) }
  })
  return import('#record')
}

afterEach(() => {
  vi.doUnmock('../../libs/record/window.ts')
  vi.doUnmock('../../libs/record/context.ts')
  vi.doUnmock('../../libs/record/frame.ts')
  vi.resetModules()
})

/** Both openers see the same frames after the same genuine ones. */
function attack(
  library: { createOpener: typeof createOpener },
  context: RecordContext,
  frames: Uint8Array[],
): string[] {
  const opener = library.createOpener(context)
  return frames.map((frame) => outcome(opener.open(frame, AT)))
}

describe('nothing but the sealed bytes opens', () => {
  const context = recordContext({ epoch: 1 })
  const frame = textbookRecord(context, 300, PLAINTEXT)

  test('every single bit flipped', () => {
    const opener = createOpener(context)
    for (let bit = 0; bit < frame.length * 8; bit++) {
      const flipped = flipBit(frame, bit)
      expect(outcome(opener.open(flipped, AT)), `bit ${bit}`).toMatch(/^(?:forged|malformed)$/)
    }
    expect(outcome(opener.open(frame, AT))).toBe('opened')
  })

  test('every truncation, and bytes appended', () => {
    const opener = createOpener(context)
    for (let length = 0; length < frame.length; length++)
      expect(outcome(opener.open(frame.slice(0, length), AT))).toMatch(/^(?:forged|malformed)$/)
    for (const extra of [[0], [0, 0], [255]])
      expect(outcome(opener.open(Uint8Array.from([...frame, ...extra]), AT))).toBe('forged')
    expect(outcome(opener.open(frame, AT))).toBe('opened')
  })

  test('random bytes never throw', () => {
    const opener = createOpener(context)
    for (let seed = 0; seed < 2_000; seed++) {
      const hash = nobleCrypto.sha256(encode(seed))
      const junk = hash.slice(0, seed % 33)
      expect(outcome(opener.open(junk, AT))).toMatch(/^(?:forged|malformed)$/)
    }
  })
})

describe('replay', () => {
  const context = recordContext()
  const frame = textbookRecord(context, 5, PLAINTEXT)

  test('is refused; without the window check it would be accepted', async () => {
    expect(attack({ createOpener }, context, [frame, frame])).toEqual(['opened', 'replay'])
    const weak = await weakened('../../libs/record/window.ts', () => ({
      checkWindow: () => 'new',
    }))
    expect(attack(weak, context, [frame, frame])).toEqual(['opened', 'opened'])
  })

  test('marking before opening would let a forgery lock genuine records out', async () => {
    const ahead = breakTag(textbookRecord(context, 1_000, PLAINTEXT))
    expect(attack({ createOpener }, context, [ahead, frame])).toEqual(['forged', 'opened'])
    type Check = (window: object, counter: number) => string
    const weak = await weakened('../../libs/record/window.ts', (original) => ({
      checkWindow(window: object, counter: number) {
        const verdict = (original['checkWindow'] as Check)(window, counter)
        if (verdict === 'new') (original['markWindow'] as Check)(window, counter)
        return verdict
      },
    }))
    expect(attack(weak, context, [ahead, frame])).toEqual(['forged', 'stale'])
  })

  test('into a later session on the same channel is refused, though its window is empty', () => {
    const later = recordContext({ key: nobleCrypto.aead(new Uint8Array(32).fill(8)) })
    expect(attack({ createOpener }, later, [frame])).toEqual(['forged'])
  })
})

describe('a record taken out of its place', () => {
  /** Sealed for one place, opened in another under the same key, IV and epoch bits. */
  const places: { name: string; there: Partial<RecordContext>; without: number }[] = [
    { name: 'another channel', there: { channelId: 'abcdefgi' }, without: 0 },
    { name: 'the other direction', there: { direction: otherDirection(0) }, without: 1 },
    { name: 'an epoch with the same two bits', there: { epoch: 4 }, without: 2 },
  ]

  test.each(places)('$name refuses it; unbound, it would be accepted', async (place) => {
    const here = recordContext()
    const there = recordContext(place.there)
    const frame = createSealer(here).seal(PLAINTEXT, AT)
    expect(attack({ createOpener }, there, [frame])).toEqual(['forged'])
    const weak = await weakened('../../libs/record/context.ts', () => ({
      aadOf({ channelId, direction, epoch }: RecordContext) {
        const bound = [channelId, direction, epoch].filter((_, i) => i !== place.without)
        return encStructure(new Uint8Array(), encode(bound))
      },
    }))
    const weakFrame = weak.createSealer(here).seal(PLAINTEXT, AT)
    expect(attack(weak, there, [weakFrame])).toEqual(['opened'])
  })

  test('an epoch with other bits is not even tried', () => {
    const frame = createSealer(recordContext({ epoch: 1 })).seal(PLAINTEXT, AT)
    const opener = createOpener(recordContext({ epoch: 2 }))
    expect(outcome(opener.open(frame, AT))).toBe('malformed')
    expect(opener.failures).toBe(0)
    const relabelled = frame.with(0, (frame[0] ?? 0) ^ 0b11000)
    expect(outcome(opener.open(relabelled, AT))).toBe('forged')
  })

  test('a device cannot be fed its own records', () => {
    const mine = recordContext({ direction: 0 })
    const frame = createSealer(mine).seal(PLAINTEXT, AT)
    const myOpener = createOpener(recordContext({ direction: 1 }))
    expect(outcome(myOpener.open(frame, AT))).toBe('forged')
  })
})

describe('one record has one form', () => {
  test('a longer Partial IV for the same counter is refused; lenient parsing would accept it', async () => {
    const context = recordContext()
    const frame = textbookRecord(context, 5, PLAINTEXT)
    const longer = Uint8Array.from([1, 0, ...frame.slice(1)])
    expect(attack({ createOpener }, context, [longer, frame])).toEqual(['malformed', 'opened'])
    const weak = await weakened('../../libs/record/frame.ts', () => ({
      counterOf: (bytes: Uint8Array) => bytes.slice(1, 2 + (bytes[0] ?? 0)).at(-1) ?? -1,
    }))
    expect(attack(weak, context, [longer])).toEqual(['opened'])
  })
})

describe('limits', () => {
  test('without them guessing could go on for ever, and a counter could come round', async () => {
    const limits = { dropAfterFailures: 2, refuseAfterRecords: 2 }
    const context = recordContext({ limits })
    const genuine = textbookRecord(context, 0, PLAINTEXT)
    const forged = breakTag(genuine)
    const guesses = [forged, forged, forged, genuine]
    const over = [textbookRecord(context, 2, PLAINTEXT)]
    expect(attack({ createOpener }, context, guesses).at(-1)).toBe('expired')
    expect(attack({ createOpener }, context, over)).toEqual(['expired'])
    const weak = await weakened('../../libs/record/context.ts', () => ({
      limitsOf: () => ({
        dropAfterFailures: Infinity,
        refuseAfterRecords: Infinity,
        replayWindow: 64,
      }),
    }))
    expect(attack(weak, context, guesses).at(-1)).toBe('opened')
    expect(attack(weak, context, over)).toEqual(['opened'])
  })
})
