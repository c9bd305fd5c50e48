/**
 * The verification rule: what nodeCrypto accepts, nobleCrypto accepts, and what that accepts,
 * strict noble on its own does too; nativeCrypto and nodeCrypto, of which any machine may have
 * either, agree. Tried on C2SP's collection of Ed25519 edge cases, where respected verifiers
 * disagree about most signatures.
 */
import { createPublicKey, verify } from 'node:crypto'
import { ed25519 } from '@noble/curves/ed25519.js'
import { describe, expect, test } from 'vitest'
import { concat, fromHex, utf8 } from '#bytes'
import { isStrictSignature, nobleCrypto, requireStrictKey, type Crypto } from '#crypto'
import { nativeCrypto } from '#crypto-native'
import { nodeCrypto } from '#crypto-node'
import { smallCrypto } from '#crypto-small'
import { readExcerpt } from '../support/excerpts.ts'

type Verifier = (key: Uint8Array, message: Uint8Array, signature: Uint8Array) => boolean

function accepts(verifier: () => boolean): boolean {
  try {
    return verifier()
  } catch {
    return false
  }
}

const ours =
  (crypto: Crypto): Verifier =>
  (key, message, signature) =>
    crypto.verifyKey(key).verify(message, signature)

const bareNode: Verifier = (key, message, signature) => {
  const der = concat(fromHex('302a300506032b6570032100'), key)
  const prepared = createPublicKey({ key: Buffer.from(der), format: 'der', type: 'spki' })
  return verify(null, message, prepared, signature)
}

/** ZIP 215, the most permissive rule in wide use: also takes small-order keys and loose encodings. */
const lax: Verifier = (key, message, signature) =>
  ed25519.verify(signature, message, key, { zip215: true })

const strict: Verifier = (key, message, signature) =>
  ed25519.verify(signature, message, key, { zip215: false })

/** Our cheap checks in front of any verifier. */
const guarded =
  (verifier: Verifier): Verifier =>
  (key, message, signature) => {
    requireStrictKey(key)
    return isStrictSignature(signature) && verifier(key, message, signature)
  }

const cases = readExcerpt('cctv-ed25519')

function acceptSet(verifier: Verifier): Set<number> {
  const accepted = cases.filter(({ key, msg, sig }) =>
    accepts(() => verifier(fromHex(key), utf8(msg), fromHex(sig))),
  )
  return new Set(accepted.map((entry) => entry.number))
}

describe('CCTV Ed25519 edge cases', () => {
  const verifiers = {
    node: ours(nodeCrypto),
    native: ours(nativeCrypto),
    noble: ours(nobleCrypto),
    small: ours(smallCrypto),
    strict,
    lax,
    guardedLax: guarded(lax),
    bareNode,
  }
  const sets = new Map<string, Set<number>>()
  const accepted = (name: keyof typeof verifiers) => {
    const known = sets.get(name) ?? acceptSet(verifiers[name])
    sets.set(name, known)
    return known
  }

  /** Cases the first accepts and the second refuses; none if the first set is within the second. */
  const beyond = (inner: keyof typeof verifiers, outer: keyof typeof verifiers) =>
    [...accepted(inner)].filter((number) => !accepted(outer).has(number))

  test('node ⊆ noble ⊆ strict noble, and none of them is empty', () => {
    expect(cases.length).toBe(914)
    expect(accepted('node').size).toBe(43)
    expect(beyond('node', 'noble')).toEqual([])
    expect(beyond('noble', 'strict')).toEqual([])
  })

  test('native accepts exactly what node accepts', () => {
    expect(accepted('native')).toEqual(accepted('node'))
  })

  test('small accepts exactly what noble accepts', () => {
    expect(accepted('noble').size).toBe(212)
    expect(accepted('small')).toEqual(accepted('noble'))
  })

  test('the same question about a lax verifier is answered with no', () => {
    expect(accepted('lax').size).toBe(826)
    expect(beyond('lax', 'strict').length).toBe(826 - 212)
  })

  /**
   * So the order of inclusion does not rest on how strict a library is inside: behind our checks
   * even the lax rule accepts exactly what strict noble accepts.
   */
  test('our checks alone turn the lax rule into the strict one', () => {
    expect(accepted('guardedLax')).toEqual(accepted('strict'))
  })

  /**
   * On these cases the Node of this release needs no help: with and without our checks it accepts
   * the same 43. If a later OpenSSL grows laxer this number moves and the test above still holds.
   */
  test('what the checks change for node:crypto itself: nothing today', () => {
    expect(accepted('bareNode')).toEqual(accepted('node'))
  })
})

describe('a forgery under a key of small order', () => {
  // With A the neutral element, S·B = R + k·A holds for R = S·B whatever the message.
  const key = Uint8Array.from({ length: 32 }, (_, index) => (index === 0 ? 1 : 0))
  const scalar = Uint8Array.from({ length: 32 }, (_, index) => (index === 0 ? 5 : 0))
  const forged = concat(ed25519.Point.BASE.multiply(5n).toBytes(), scalar)

  test('works on a lax verifier, for any message', () => {
    expect(lax(key, utf8('pay 1'), forged)).toBe(true)
    expect(lax(key, utf8('pay 1000'), forged)).toBe(true)
  })

  test('does not get past the checks in front of the same verifier', () => {
    expect(accepts(() => guarded(lax)(key, utf8('pay 1'), forged))).toBe(false)
  })

  test.each([
    ['noble', nobleCrypto],
    ['node', nodeCrypto],
    ['native', nativeCrypto],
    ['small', smallCrypto],
  ])('is refused by %s with a code', (_name, crypto) => {
    expect(() => crypto.verifyKey(key)).toThrow(
      expect.objectContaining({ code: 'crypto/bad-public-key' }),
    )
  })
})
