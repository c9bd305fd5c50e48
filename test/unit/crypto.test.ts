import { ed25519 } from '@noble/curves/ed25519.js'
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { fromHex, toHex, utf8 } from '#bytes'
import { checkPublicKey, isStrictSignature, nobleCrypto, requireStrictKey } from '#crypto'
import { nativeCrypto } from '#crypto-native'
import { nodeCrypto } from '#crypto-node'
import { smallCrypto } from '#crypto-small'
import { codeThrown } from '../support/coded.ts'

const both = [
  ['noble', nobleCrypto],
  ['node', nodeCrypto],
  ['native', nativeCrypto],
  ['small', smallCrypto],
] as const
const seed = new Uint8Array(32).fill(7)
const nonce = new Uint8Array(12)
const anyBytes = fc.uint8Array({ maxLength: 100 })
const secret = fc.uint8Array({ minLength: 32, maxLength: 32 })

function flip(bytes: Uint8Array, bit: number): Uint8Array {
  const changed = Uint8Array.from(bytes)
  const at = Math.floor(bit / 8) % changed.length
  changed[at] = (changed[at] as number) ^ (1 << (bit % 8))
  return changed
}

describe('all implementations', () => {
  test.each([
    ['node', nodeCrypto],
    ['native', nativeCrypto],
    ['small', smallCrypto],
  ])('%s gives the same bytes as noble', (_name, crypto) => {
    fc.assert(
      fc.property(secret, secret, anyBytes, anyBytes, (a, b, message, aad) => {
        const [noble, other] = [nobleCrypto.signingKey(a), crypto.signingKey(a)]
        expect(other.publicKey).toEqual(noble.publicKey)
        expect(other.sign(message)).toEqual(noble.sign(message))
        expect(crypto.x25519(a).publicKey).toEqual(nobleCrypto.x25519(a).publicKey)
        const peer = nobleCrypto.x25519(b).publicKey
        expect(crypto.x25519(a).shared(peer)).toEqual(nobleCrypto.x25519(a).shared(peer))
        const sealed = nobleCrypto.aead(a).seal(nonce, aad, message)
        expect(crypto.aead(a).seal(nonce, aad, message)).toEqual(sealed)
        expect(crypto.sha256(message)).toEqual(nobleCrypto.sha256(message))
        expect(crypto.hmacSha256(aad, message)).toEqual(nobleCrypto.hmacSha256(aad, message))
      }),
      { numRuns: 30 },
    )
  })

  test.each(both)('%s: a signature fits one key and one message only', (_name, crypto) => {
    const key = crypto.signingKey(seed)
    const message = utf8('reading 1')
    const signature = key.sign(message)
    const verifier = crypto.verifyKey(key.publicKey)
    expect(verifier.verify(message, signature)).toBe(true)
    const other = crypto.verifyKey(crypto.signingKey(flip(seed, 0)).publicKey)
    expect(other.verify(message, signature)).toBe(false)
    fc.assert(
      fc.property(fc.nat({ max: 511 }), (bit) => {
        expect(verifier.verify(message, flip(signature, bit))).toBe(false)
      }),
      { numRuns: 40 },
    )
    expect(verifier.verify(flip(message, 3), signature)).toBe(false)
  })

  test.each(both)('%s: an opened message is the sealed one, or null', (_name, crypto) => {
    fc.assert(
      fc.property(secret, anyBytes, anyBytes, fc.nat({ max: 2_000 }), (key, aad, text, bit) => {
        const aead = crypto.aead(key)
        const sealed = aead.seal(nonce, aad, text)
        expect(sealed.length).toBe(text.length + 16)
        expect(aead.open(nonce, aad, sealed)).toEqual(text)
        expect(aead.open(nonce, aad, flip(sealed, bit))).toBeNull()
        expect(aead.open(flip(nonce, 9), aad, sealed)).toBeNull()
        expect(aead.open(nonce, Uint8Array.of(...aad, 0), sealed)).toBeNull()
        expect(crypto.aead(flip(key, 1)).open(nonce, aad, sealed)).toBeNull()
        expect(aead.open(nonce, aad, sealed.subarray(0, sealed.length - 1))).toBeNull()
      }),
      { numRuns: 40 },
    )
  })

  test.each(both)('%s: nonsense ends in a code, false or null', (_name, crypto) => {
    const short = new Uint8Array(31)
    const key = crypto.verifyKey(crypto.signingKey(seed).publicKey)
    const agreement = crypto.x25519(seed)
    const aead = crypto.aead(seed)
    for (const action of [
      () => crypto.signingKey(short),
      () => crypto.x25519(short),
      () => crypto.aead(short),
      () => agreement.shared(short),
      () => aead.seal(new Uint8Array(8), seed, seed),
      () => aead.open(new Uint8Array(13), seed, seed),
      () => crypto.hkdfExpand(seed, seed, 255 * 32 + 1),
      () => crypto.hkdfExpand(seed, seed, -1),
      () => crypto.hkdfExpand(seed, seed, 1.5),
      () => crypto.hkdfExpand(short, seed, 32),
    ])
      expect(codeThrown(action)).toBe('crypto/bad-length')
    for (const length of [0, 1, 63, 65, 200])
      expect(key.verify(seed, new Uint8Array(length))).toBe(false)
    for (const length of [0, 15, 16])
      expect(aead.open(nonce, seed, new Uint8Array(length))).toBeNull()
    expect(codeThrown(() => agreement.shared(new Uint8Array(32)))).toBe('crypto/low-order')
    expect(codeThrown(() => crypto.verifyKey(short))).toBe('crypto/bad-public-key')
  })

  test.each(both)('%s: keeps its own copy of a secret', (_name, crypto) => {
    const mine = Uint8Array.from(seed)
    const key = crypto.signingKey(mine)
    const aead = crypto.aead(mine)
    const [signature, sealed] = [key.sign(seed), aead.seal(nonce, seed, seed)]
    mine.fill(0)
    expect(key.sign(seed)).toEqual(signature)
    expect(aead.seal(nonce, seed, seed)).toEqual(sealed)
  })

  test.each(both)(
    '%s: what is done to a public key it gave away changes nothing',
    (_name, crypto) => {
      const [key, agreement] = [crypto.signingKey(seed), crypto.x25519(seed)]
      const peer = crypto.x25519(flip(seed, 0)).publicKey
      const verifier = crypto.verifyKey(key.publicKey)
      const [signature, shared] = [key.sign(seed), agreement.shared(peer)]
      for (const { publicKey } of [key, agreement, verifier]) publicKey.fill(1)
      expect(verifier.verify(seed, signature)).toBe(true)
      expect(key.sign(seed)).toEqual(signature)
      expect(agreement.shared(peer)).toEqual(shared)
    },
  )

  test.each(both)(
    '%s: random signatures and keys never throw anything uncoded',
    (_name, crypto) => {
      fc.assert(
        fc.property(secret, fc.uint8Array({ minLength: 64, maxLength: 64 }), (key, signature) => {
          let accepted = false
          const code = codeThrown(() => (accepted = crypto.verifyKey(key).verify(seed, signature)))
          expect(['nothing thrown', 'crypto/bad-public-key']).toContain(code)
          expect(accepted).toBe(false)
        }),
        { numRuns: 60 },
      )
    },
  )
})

describe('public keys', () => {
  const order8 = ed25519.Point.fromHex(
    'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
    true,
  )
  const honest = ed25519.Point.fromBytes(nobleCrypto.signingKey(seed).publicKey)
  const smallOrder = Array.from({ length: 7 }, (_, index) => order8.multiply(BigInt(index + 1)))

  test('all eight points of small order are refused before any curve arithmetic', () => {
    const encodings = new Set([ed25519.Point.ZERO, ...smallOrder].map((point) => point.toHex()))
    expect(encodings.size).toBe(8)
    for (const encoding of encodings)
      expect(codeThrown(() => requireStrictKey(fromHex(encoding)))).toBe('crypto/bad-public-key')
  })

  test('every encoding with y ≥ p is refused, with either sign', () => {
    for (let low = 0xed; low <= 0xff; low++)
      for (const high of [0x7f, 0xff]) {
        const key = Uint8Array.from({ length: 32 }, () => 0xff)
        key[0] = low
        key[31] = high
        expect(codeThrown(() => requireStrictKey(key))).toBe('crypto/bad-public-key')
      }
    const largest = fromHex(`eb${'ff'.repeat(30)}7f`) // y = p − 2: canonical
    expect(codeThrown(() => requireStrictKey(largest))).toBe('nothing thrown')
  })

  test('enrolment also refuses a key outside the prime-order group', () => {
    const mixed = honest.add(order8).toBytes()
    expect(codeThrown(() => requireStrictKey(mixed))).toBe('nothing thrown') // the cheap check is blind to it
    expect(codeThrown(() => checkPublicKey(mixed))).toBe('crypto/bad-public-key')
  })

  test('enrolment refuses a point that is not on the curve', () => {
    const offCurve = Uint8Array.from({ length: 32 }, (_, index) => (index === 0 ? 2 : 0))
    expect(codeThrown(() => requireStrictKey(offCurve))).toBe('nothing thrown')
    expect(codeThrown(() => checkPublicKey(offCurve))).toBe('crypto/bad-public-key')
  })

  test('honest keys pass', () => {
    fc.assert(
      fc.property(secret, (input) => {
        const { publicKey } = nobleCrypto.signingKey(input)
        expect(codeThrown(() => checkPublicKey(publicKey))).toBe('nothing thrown')
      }),
      { numRuns: 10 },
    )
  })
})

/** 32 bytes, little endian. */
const bytesOf = (value: bigint) => fromHex(value.toString(16).padStart(64, '0')).toReversed()

describe('the form of signatures', () => {
  const L = 2n ** 252n + 27742317777372353535851937790883648493n
  const withParts = (r: Uint8Array, s: bigint) => Uint8Array.of(...r, ...bytesOf(s))
  const plainR = nobleCrypto.signingKey(seed).publicKey

  test.each([
    ['S = L − 1', withParts(plainR, L - 1n), true],
    ['S = L', withParts(plainR, L), false],
    ['S = L + 1', withParts(plainR, L + 1n), false],
    ['S = 2^256 − 1', withParts(plainR, 2n ** 256n - 1n), false],
    ['R with y = p', withParts(bytesOf(2n ** 255n - 19n), 1n), false],
    ['R with y = p − 2', withParts(bytesOf(2n ** 255n - 21n), 1n), true],
    ['R the neutral element', withParts(bytesOf(1n), 1n), true],
    ['R = (0, 1) with the sign bit', withParts(bytesOf(1n + 2n ** 255n), 1n), false],
    ['R = (0, −1) with the sign bit', withParts(bytesOf(2n ** 256n - 20n), 1n), false],
    ['63 bytes', new Uint8Array(63), false],
  ])('%s', (_name, signature, expected) => {
    expect(isStrictSignature(signature)).toBe(expected)
  })

  test('S + L, the same signature in another spelling, is refused', () => {
    const key = nobleCrypto.signingKey(seed)
    const signature = key.sign(seed)
    const s = BigInt(`0x${toHex(signature.slice(32).toReversed())}`)
    const again = withParts(signature.slice(0, 32), s)
    const twin = withParts(signature.slice(0, 32), s + L)
    for (const [, crypto] of both) {
      expect(crypto.verifyKey(key.publicKey).verify(seed, again)).toBe(true)
      expect(crypto.verifyKey(key.publicKey).verify(seed, twin)).toBe(false)
    }
  })
})
