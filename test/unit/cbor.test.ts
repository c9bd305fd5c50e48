import { cdeDecodeOptions, cdeEncodeOptions, decode as decode2, encode as encode2 } from 'cbor2'
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { concat, equal, fromHex, toHex } from '#bytes'
import {
  decode,
  decodeInts,
  decodeSequence,
  encode,
  encodeInside,
  encodeInts,
  encodeSequence,
  shortLived,
  writeInts,
  type CborValue,
} from '#cbor'
import { CodedError } from '#errors'

const MAX = Number.MAX_SAFE_INTEGER

/** The value, or the code of the error; anything but a coded error fails the test. */
function outcome<T>(action: () => T): { value: T } | { code: string } {
  try {
    return { value: action() }
  } catch (error) {
    if (!(error instanceof CodedError)) throw error
    return { code: error.code }
  }
}

const integer = fc.oneof(
  fc.integer({ min: -300, max: 300 }),
  fc.integer(),
  fc.maxSafeInteger(),
  fc.constantFrom(23, 24, 255, 256, 65535, 65536, 2 ** 32 - 1, 2 ** 32, MAX, -MAX, -25, -24),
)
const bigInteger = fc
  .bigInt({ min: -(2n ** 64n), max: 2n ** 64n - 1n })
  .filter((value) => value > BigInt(MAX) || value < BigInt(-MAX))
const text = fc.string({ unit: 'grapheme', maxLength: 30 }).filter((value) => value.isWellFormed())
const leaf = fc.oneof(
  integer,
  bigInteger,
  text,
  fc.uint8Array({ maxLength: 40 }),
  fc.boolean(),
  fc.constant(null),
)

function valueOfDepth(depth: number): fc.Arbitrary<CborValue> {
  if (depth === 0) return leaf
  const child = valueOfDepth(depth - 1)
  const key = fc.oneof(integer, text)
  const entries = fc.array(fc.tuple(key, child), { maxLength: 4 })
  return fc.oneof(
    leaf,
    fc.array(child, { maxLength: 30 }),
    entries.map((pairs) => new Map(pairs)),
  )
}

const value = valueOfDepth(3)

/** Minus zero has no CBOR integer; fast-check likes to produce it. */
function normal(input: CborValue): CborValue {
  if (Object.is(input, -0)) return 0
  if (Array.isArray(input)) return input.map(normal)
  if (input instanceof Map)
    return new Map([...input].map(([k, v]) => [Object.is(k, -0) ? 0 : k, normal(v)]))
  return input
}

function mutate(bytes: Uint8Array, at: number, byte: number): Uint8Array {
  const changed = Uint8Array.from(bytes)
  if (changed.length > 0) changed[at % changed.length] = byte
  return changed
}

const nested = (depth: number) => `${'81'.repeat(depth)}00`

describe('RFC 8949 appendix A, the rows without floats, tags and indefinite lengths', () => {
  const long = Array.from({ length: 25 }, (_, index) => index + 1)
  const rows: [string, CborValue][] = [
    ['00', 0],
    ['01', 1],
    ['0a', 10],
    ['17', 23],
    ['1818', 24],
    ['1819', 25],
    ['1864', 100],
    ['1903e8', 1000],
    ['1a000f4240', 1_000_000],
    ['1b000000e8d4a51000', 1_000_000_000_000],
    ['1bffffffffffffffff', 18446744073709551615n],
    ['3bffffffffffffffff', -18446744073709551616n],
    ['20', -1],
    ['29', -10],
    ['3863', -100],
    ['3903e7', -1000],
    ['f4', false],
    ['f5', true],
    ['f6', null],
    ['40', Uint8Array.of()],
    ['4401020304', Uint8Array.of(1, 2, 3, 4)],
    ['60', ''],
    ['6161', 'a'],
    ['6449455446', 'IETF'],
    ['62225c', '"\\'],
    ['62c3bc', 'ü'],
    ['63e6b0b4', '水'],
    ['64f0908591', '𐅑'],
    ['80', []],
    ['83010203', [1, 2, 3]],
    ['8301820203820405', [1, [2, 3], [4, 5]]],
    ['98190102030405060708090a0b0c0d0e0f101112131415161718181819', long],
    ['a0', new Map()],
    ['a201020304', new Map([[1, 2], [3, 4]])], // prettier-ignore
    ['a26161016162820203', new Map<string, CborValue>([['a', 1], ['b', [2, 3]]])], // prettier-ignore
    ['826161a161626163', ['a', new Map([['b', 'c']])]],
    [
      'a56161614161626142616361436164614461656145',
      new Map(['a', 'b', 'c', 'd', 'e'].map((letter) => [letter, letter.toUpperCase()])),
    ],
  ]
  test.each(rows)('%s', (hex, expected) => {
    expect(decode(fromHex(hex))).toEqual(expected)
    // not a Buffer, and not a window into shared memory
    expect(encode(expected)).toEqual(fromHex(hex))
    expect(encode(expected).buffer.byteLength).toBe(hex.length / 2)
  })
})

describe('what is refused', () => {
  const malformed = 'cbor/malformed'
  const loose = 'cbor/not-deterministic'
  const rows: [string, string, string][] = [
    ['nothing', '', malformed],
    ['two items', '0000', malformed],
    ['head without its argument', '18', malformed],
    ['head with half its argument', '1900', malformed],
    ['string cut short', '6261', malformed],
    ['bytes of absurd length', '5b7fffffffffffffff', malformed],
    ['array cut short', '8201', malformed],
    ['array of 2^32 items', '9a00000000'.replace('00000000', 'ffffffff'), malformed],
    ['array of 2^64 − 1 items', '9bffffffffffffffff', malformed],
    ['map without its last value', 'a101', malformed],
    ['map of 2^63 pairs', 'bb8000000000000000', malformed],
    ['reserved head 28', '1c', malformed],
    ['break alone', 'ff', loose],
    ['indefinite array', '9f01ff', loose],
    ['indefinite map', 'bf0102ff', loose],
    ['indefinite bytes', '5f4101ff', loose],
    ['indefinite text', '7f6161ff', loose],
    ['undefined', 'f7', malformed],
    ['simple value 16', 'f0', malformed],
    ['simple value 32', 'f820', malformed],
    ['false in two bytes', 'f814', malformed],
    ['half float', 'f93c00', malformed],
    ['single float', 'fa47c35000', malformed],
    ['double float', 'fb3ff199999999999a', malformed],
    ['not a number', 'f97e00', malformed],
    ['infinity', 'f97c00', malformed],
    ['tag 0', 'c074323031332d30332d32315432303a30343a30305a', malformed],
    ['tag 2, a big number', 'c249010000000000000000', malformed],
    ['tag 24', 'd818456449455446', malformed],
    ['23 in two bytes', '1817', loose],
    ['255 in three bytes', '1900ff', loose],
    ['65535 in five bytes', '1a0000ffff', loose],
    ['2^32 − 1 in nine bytes', '1b00000000ffffffff', loose],
    ['−1 in two bytes', '3800', loose],
    ['length in a longer head', '580161', loose],
    ['array count in a longer head', '980101', loose],
    ['map count in a longer head', 'b8010101', loose],
    ['the same key twice', 'a201010102', malformed],
    ['the same text key twice', 'a2616101616102', malformed],
    ['unsorted keys', 'a203040102', loose],
    ['keys in length-first order', 'a261200219010003', loose],
    ['negative key before positive', 'a220000100', loose],
    ['byte string as key', 'a1410100', malformed],
    ['array as key', 'a18000', malformed],
    ['true as key', 'a1f500', malformed],
    ['unsafe integer as key', 'a11b002000000000000000', malformed],
    ['text that is not UTF-8', '61ff', loose],
    ['text with an encoded surrogate', '63eda080', loose],
    ['nesting of 9', nested(9), 'cbor/too-deep'],
    ['nesting of 20,000', nested(20_000), 'cbor/too-deep'],
    ['nesting of maps', `${'a100'.repeat(9)}00`, 'cbor/too-deep'],
  ]
  test.each(rows)('%s', (_name, hex, code) => {
    expect(outcome(() => decode(fromHex(hex)))).toEqual({ code })
  })

  test('size and depth are the caller’s to set', () => {
    expect(decode(fromHex(nested(8)))).toEqual([[[[[[[[0]]]]]]]])
    expect(outcome(() => decode(fromHex(nested(3)), { depth: 2 }))).toEqual({
      code: 'cbor/too-deep',
    })
    const large = encode(new Uint8Array(65_536))
    expect(outcome(() => decode(large))).toEqual({ code: 'cbor/too-large' })
    expect(decode(large, { size: large.length })).toEqual(new Uint8Array(65_536))
  })

  const odd: [string, unknown][] = [
    ['a fraction', 1.5],
    ['not a number', Number.NaN],
    ['an unsafe integer', 2 ** 53],
    ['minus zero', -0],
    ['undefined', undefined],
    ['an object', { a: 1 }],
    ['a date', new Date(0)],
    ['a lone surrogate', '\ud800'],
    ['65 bits', 2n ** 64n],
    ['−2^64 − 1', -(2n ** 64n) - 1n],
    ['undefined in an array', [1, undefined]],
    ['a byte-string key', new Map([[new Uint8Array(1), 1]])],
    ['a bigint key', new Map([[1n, 1]])],
    ['deep nesting', JSON.parse('['.repeat(9) + ']'.repeat(9))],
  ]
  test.each(odd)('encoding %s', (_name, input) => {
    expect(outcome(() => encode(input as CborValue))).toEqual({ code: 'cbor/not-encodable' })
  })

  test('an array that contains itself ends in a coded error', () => {
    const loop: CborValue[] = []
    loop.push(loop)
    expect(outcome(() => encode(loop))).toEqual({ code: 'cbor/not-encodable' })
  })
})

describe('properties', () => {
  test('decode(encode(x)) is x, and the bytes are those of cbor2', () => {
    fc.assert(
      fc.property(value.map(normal), (input) => {
        const bytes = encode(input)
        // the same map in another insertion order is the same map: compare the decoded forms
        expect(decode(bytes)).toEqual(input)
        expect(toHex(bytes)).toBe(toHex(encode2(input, cdeEncodeOptions)))
      }),
    )
  })

  test('accepts what a strict cbor2 accepts, and nothing else', () => {
    let accepted = 0
    fc.assert(
      fc.property(
        value.map(normal),
        fc.nat(),
        fc.integer({ min: 0, max: 255 }),
        (input, at, byte) => {
          const bytes = mutate(encode(input), at, byte)
          const ours = outcome(() => decode(bytes))
          if ('value' in ours) accepted += 1
          expect('value' in ours).toBe(acceptedByCbor2(bytes))
        },
      ),
      { numRuns: 2_000 },
    )
    expect(accepted).toBeGreaterThan(100)
  })

  test('random bytes give a value that encodes back to them, or a coded error', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
        const read = outcome(() => decode(bytes))
        expect('value' in read ? encode(read.value) : bytes).toEqual(bytes)
        outcome(() => decodeSequence(bytes))
        outcome(() => decodeInts(bytes))
      }),
      { numRuns: 5_000 },
    )
  })

  test('a sequence is its items one after the other (RFC 8742)', () => {
    fc.assert(
      fc.property(fc.array(value.map(normal), { maxLength: 5 }), (items) => {
        const bytes = concat(...items.map(encode))
        expect(encodeSequence(items)).toEqual(bytes)
        expect(decodeSequence(bytes)).toEqual(items)
      }),
    )
  })

  test('long text keeps a mark at its beginning, and long text that is not UTF-8 is refused', () => {
    const long = `\ufeff${'ü'.repeat(70)}`
    expect(decode(encode(long))).toBe(long)
    const broken = encode('ü'.repeat(70))
    broken[broken.length - 1] = 0x41
    expect(outcome(() => decode(broken))).toEqual({ code: 'cbor/not-deterministic' })
  })

  test('decoded byte strings are copies, from a Buffer too', () => {
    const input = Buffer.from('4401020304', 'hex')
    const read = decode(input)
    input.fill(0xff)
    expect(read).toEqual(Uint8Array.of(1, 2, 3, 4))
  })
})

/** cbor2 as strict as it goes, cut down to our types: no floats, tags, undefined, odd keys. */
function acceptedByCbor2(bytes: Uint8Array): boolean {
  try {
    const read: unknown = decode2(bytes, { ...cdeDecodeOptions, preferMap: true })
    return ourTypes(read) && equal(encode2(read, cdeEncodeOptions), bytes)
  } catch {
    return false
  }
}

function ourTypes(read: unknown, depth = 0): boolean {
  if (read === null || typeof read === 'boolean' || read instanceof Uint8Array) return true
  if (typeof read === 'string') return read.isWellFormed()
  if (typeof read === 'number') return Number.isSafeInteger(read)
  if (typeof read === 'bigint') return true
  if (depth >= 8) return false
  if (Array.isArray(read)) return read.every((item) => ourTypes(item, depth + 1))
  if (!(read instanceof Map)) return false
  return [...read].every(
    ([key, item]) =>
      (typeof key === 'string' || Number.isSafeInteger(key)) && ourTypes(item, depth + 1),
  )
}

/** Whether the fast reader should take it, by what the general one makes of it; both must agree. */
function agrees(bytes: Uint8Array): boolean {
  const general = outcome(() => decode(bytes))
  const fast = outcome(() => decodeInts(bytes))
  const fits =
    'value' in general &&
    Array.isArray(general.value) &&
    general.value.every((item) => item === null || typeof item === 'number')
  expect('value' in fast ? fast : null).toEqual(fits ? general : null)
  return fits
}

describe('the hot path: integers and null', () => {
  const entry = fc.oneof(integer, fc.constant(null)).map((input) => (input === 0 ? 0 : input))
  const entries = fc.array(entry, { maxLength: 40 })

  test('writes what encode writes', () => {
    fc.assert(
      fc.property(entries, (input) => {
        expect(toHex(encodeInts(input))).toBe(toHex(encode(input)))
        expect(decodeInts(encodeInts(input))).toEqual(input)
      }),
      { numRuns: 1_000 },
    )
  })

  test('every boundary of head length', () => {
    const edges = [0, 23, 24, 255, 256, 65_535, 65_536, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 52, MAX]
    const input = edges.flatMap((edge) => [edge, -edge || 0, Math.max(-MAX, -1 - edge)])
    expect(toHex(encodeInts(input))).toBe(toHex(encode(input)))
    expect(decodeInts(encodeInts(input))).toEqual(input)
  })

  test('arrays too long for the shared scratch space', () => {
    const input = Array.from({ length: 5_000 }, (_, index) => index * 1_000_003)
    expect(toHex(encodeInts(input))).toBe(toHex(encode(input)))
    expect(decodeInts(encodeInts(input))).toEqual(input)
  })

  test('results do not share memory', () => {
    const first = encodeInts([1, 2, 3])
    encodeInts([9, 9, 9])
    expect(decodeInts(first)).toEqual([1, 2, 3])
  })

  test('reads what decode reads, and refuses everything else', () => {
    let accepted = 0
    fc.assert(
      fc.property(entries, fc.nat(), fc.integer({ min: 0, max: 255 }), (input, at, byte) => {
        if (agrees(mutate(encodeInts(input), at, byte))) accepted += 1
      }),
      { numRuns: 3_000 },
    )
    expect(accepted).toBeGreaterThan(300)
    fc.assert(
      fc.property(value.map(normal), (input) => {
        agrees(encode(input))
      }),
    )
  })

  test.each([
    ['empty input', ''],
    ['not an array', '01'],
    ['array head cut short', '98'],
    ['a missing entry', '8201'],
    ['a trailing byte', '810000'],
    ['text inside', '816161'],
    ['an array inside', '8180'],
    ['true inside', '81f5'],
    ['undefined inside', '81f7'],
    ['a long head', '811817'],
    ['a long array head', '980101'],
    ['an indefinite array', '9f01ff'],
    ['2^53', '811b0020000000000000'],
    ['−2^53', '813b001fffffffffffff'],
    ['an entry cut short', '8119ff'],
    ['a reserved head', '811c'],
    ['absurd count', '9bffffffffffffffff'],
  ])('refuses %s', (_name, hex) => {
    expect(outcome(() => decodeInts(fromHex(hex)))).toHaveProperty('code')
    agrees(fromHex(hex))
  })

  test.each([[1.5], [Number.NaN], [2 ** 53], [-0], [Infinity]])('does not write %s', (input) => {
    expect(outcome(() => encodeInts([input]))).toEqual({ code: 'cbor/not-encodable' })
  })

  test('a size cap holds here too', () => {
    expect(outcome(() => decodeInts(encodeInts([1, 2, 3]), 3))).toEqual({ code: 'cbor/too-large' })
  })
})

describe('for the hot path as well', () => {
  test('integers written into a larger array are those of encodeInts, and nothing before them', () => {
    fc.assert(
      fc.property(fc.array(fc.option(integer)), fc.nat(40), (values, start) => {
        const out = new Uint8Array(start + 9 * (values.length + 1)).fill(7)
        const end = writeInts(out, start, values)
        expect(toHex(out.slice(start, end))).toBe(toHex(encodeInts(values)))
        expect(out.slice(0, start).every((byte) => byte === 7)).toBe(true)
      }),
    )
  })

  test('a value inside a byte string behind a head is the head and that byte string', () => {
    const content = fc.oneof(
      leaf,
      fc.array(leaf),
      fc.uint8Array({ maxLength: 70_000, size: 'max' }),
    )
    fc.assert(
      fc.property(fc.uint8Array(), content, (before, inside) => {
        const whole = concat(before, encode(encode(inside)))
        expect(toHex(encodeInside(before, inside))).toBe(toHex(whole))
      }),
    )
  })

  test('what is short-lived is still nobody else’s', () => {
    const lengths = fc.array(fc.oneof(fc.nat(200), fc.nat(3_000)), { maxLength: 200 })
    fc.assert(
      fc.property(lengths, (all) => {
        const pieces = all.map((length, index) => shortLived(length).fill(index))
        expect(pieces.map(({ length }) => length)).toEqual(all)
        expect(pieces.every((piece, index) => piece.every((byte) => byte === index % 256))).toBe(
          true,
        )
      }),
    )
  })
})
