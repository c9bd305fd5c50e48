import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  addChecksum,
  compare,
  concat,
  dropChecksum,
  equal,
  fromBase64Url,
  fromHex,
  fromUtf8,
  unflip,
  toBase64Url,
  toHex,
  utf8,
} from '#bytes'
import { codeThrown, orRefused } from '../support/coded.ts'

const bytes = fc.uint8Array({ maxLength: 70 })
const reference = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** What the platform's decoder says; null when it refuses. */
function decoded(input: Uint8Array): string | null {
  try {
    return reference.decode(input)
  } catch {
    return null
  }
}
const unit = (code: number) => String.fromCharCode(code)

describe('bytes', () => {
  test('hexadecimal, base64url and UTF-8 come back as they went', () => {
    fc.assert(
      fc.property(bytes, fc.string({ unit: 'binary' }), (input, text) => {
        expect(fromHex(toHex(input))).toEqual(input)
        expect(fromHex(toHex(input).toUpperCase())).toEqual(input)
        expect(fromBase64Url(toBase64Url(input))).toEqual(input)
        expect(fromUtf8(utf8(text))).toBe(text)
      }),
    )
  })

  test('agrees with the runtime', () => {
    fc.assert(
      fc.property(bytes, bytes, (a, b) => {
        expect(toHex(a)).toBe(Buffer.from(a).toString('hex'))
        expect(toBase64Url(a)).toBe(Buffer.from(a).toString('base64url'))
        expect(Math.sign(compare(a, b))).toBe(Buffer.compare(a, b))
        expect(equal(a, b)).toBe(Buffer.from(a).equals(b))
        expect(concat(a, b, a)).toEqual(Uint8Array.from([...a, ...b, ...a]))
      }),
    )
    expect(equal(utf8('same'), utf8('same'))).toBe(true)
  })

  test('keeps a byte order mark: equal text means equal bytes', () => {
    const marked = Uint8Array.of(0xef, 0xbb, 0xbf, 0x61)
    expect(utf8(fromUtf8(marked))).toEqual(marked)
  })

  test.each([
    ['odd hex', () => fromHex('abc'), 'bytes/bad-hex'],
    ['foreign hex digit', () => fromHex('0g'), 'bytes/bad-hex'],
    ['hex with spaces', () => fromHex('00 11'), 'bytes/bad-hex'],
    ['padding', () => fromBase64Url('AA=='), 'bytes/bad-base64url'],
    ['the other alphabet', () => fromBase64Url('+/8'), 'bytes/bad-base64url'],
    ['half a byte', () => fromBase64Url('A'), 'bytes/bad-base64url'],
    ['loose bits', () => fromBase64Url('AB'), 'bytes/bad-base64url'],
    ['characters beyond the basic plane', () => fromBase64Url('😀'), 'bytes/bad-base64url'],
    ['a lone continuation byte', () => fromUtf8(Uint8Array.of(0x80)), 'bytes/bad-utf8'],
    ['an overlong form', () => fromUtf8(Uint8Array.of(0xc0, 0x80)), 'bytes/bad-utf8'],
    ['an encoded surrogate', () => fromUtf8(Uint8Array.of(0xed, 0xa0, 0x80)), 'bytes/bad-utf8'],
  ])('refuses %s', (_what, action, code) => {
    expect(codeThrown(action)).toBe(code)
  })

  test('one base64url text per byte string', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 12 }), (text) => {
        let spelled = text
        const code = codeThrown(() => (spelled = toBase64Url(fromBase64Url(text))))
        expect(['nothing thrown', 'bytes/bad-base64url']).toContain(code)
        expect(spelled).toBe(text)
      }),
    )
  })
})

describe('UTF-8', () => {
  test('is what the platform’s encoder writes, lone surrogates too', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.integer({ max: 0xffff }).map(unit) }), (text) => {
        expect(utf8(text)).toEqual(new Uint8Array(new TextEncoder().encode(text)))
      }),
    )
  })

  test('reads and refuses what the platform’s decoder does', () => {
    const around = [
      0x7f, 0x80, 0xbf, 0xc1, 0xc2, 0xe0, 0xed, 0xef, 0xf0, 0xf4, 0xf5, 0x9f, 0xa0, 0x8f,
    ]
    const byte = fc.oneof(fc.constantFrom(...around), fc.integer({ min: 0, max: 255 }))
    fc.assert(
      fc.property(fc.array(byte, { maxLength: 6 }), (input) => {
        const given = Uint8Array.from(input)
        const expected = decoded(given)
        expect(orRefused(() => fromUtf8(given))).toBe(expected)
      }),
      { numRuns: 5_000 },
    )
    const long = 'Zähler 電 𝕄 '.repeat(400)
    expect(fromUtf8(utf8(long))).toBe(long)
  })
})

describe('checksum', () => {
  test('comes back as it went; CRC-32 as published', () => {
    expect(toHex(addChecksum(utf8('123456789')))).toBe(`c5cbf43926${toHex(utf8('123456789'))}`)
    fc.assert(
      fc.property(bytes, (input) => {
        expect(dropChecksum(addChecksum(input))).toEqual(input)
      }),
    )
  })

  test('every flipped bit behind the mark is noticed', () => {
    const stored = addChecksum(Uint8Array.from({ length: 40 }, (_, i) => 7 * i))
    for (let bit = 8; bit < stored.length * 8; bit++) {
      const rotten = Uint8Array.from(stored)
      rotten[bit >> 3]! ^= 1 << (bit & 7)
      expect(codeThrown(() => dropChecksum(rotten))).toBe('bytes/damaged')
    }
    expect(codeThrown(() => dropChecksum(stored.subarray(0, 4)))).toBe('bytes/damaged')
  })

  test('one flipped bit, wherever it lies, is found; two are never taken for one', () => {
    const content = Uint8Array.from({ length: 40 }, (_, i) => 7 * i)
    const stored = addChecksum(content)
    const flipped = (...bits: number[]) => {
      const rotten = Uint8Array.from(stored)
      for (const bit of bits) rotten[bit >> 3]! ^= 1 << (bit & 7)
      return rotten
    }
    for (let bit = 0; bit < stored.length * 8; bit++) {
      const rotten = flipped(bit)
      expect(unflip(rotten)).toEqual(content)
      expect(rotten).toEqual(flipped(bit))
      for (let second = 0; second < bit; second++) {
        const inMark = bit < 8
        expect(unflip(flipped(bit, second))).toEqual(inMark ? content : null)
      }
    }
    expect(unflip(stored.subarray(0, 3))).toBeNull()
  })

  test('what was stored before there were checksums is still read', () => {
    const old = fromHex('8301020f')
    expect(dropChecksum(old)).toBe(old)
  })
})
