/** Project Wycheproof's cases through both implementations, all of them, in one test a file. */
import { describe, expect, test } from 'vitest'
import { concat, fromHex, toHex } from '#bytes'
import { nobleCrypto, type Crypto } from '#crypto'
import { nativeCrypto } from '#crypto-native'
import { nodeCrypto } from '#crypto-node'
import { smallCrypto } from '#crypto-small'
import { codeOf } from '#errors'
import { readExcerpt, type WycheproofCase as Case } from '../support/excerpts.ts'

const text = (vector: Case, field: string) => String(vector[field] ?? '')
const hex = (vector: Case, field: string) => fromHex(text(vector, field))

/** What went wrong, as `tcId: got`; an empty list is a pass. */
function failures(name: keyof typeof COUNTS, check: (vector: Case) => string | null): string[] {
  const all = readExcerpt(`wycheproof-${name}`)
  expect(all.length).toBe(COUNTS[name])
  return all.flatMap((vector) => {
    const wrong = check(vector)
    return wrong === null ? [] : [`${vector.tcId}: ${wrong}`]
  })
}

/** So that a truncated file is not a pass. */
const COUNTS = {
  ed25519: 151,
  x25519: 518,
  'chacha20-poly1305': 325,
  'hkdf-sha256': 86,
} as const

function attempt<T>(action: () => T): T | string {
  try {
    return action()
  } catch (error) {
    return codeOf(error)
  }
}

const same = (got: string, wanted: string) => (got === wanted ? null : got)

function ed25519(crypto: Crypto, vector: Case): string | null {
  const key = crypto.verifyKey(hex(vector, 'pk'))
  return same(
    String(key.verify(hex(vector, 'msg'), hex(vector, 'sig'))),
    String(vector.result === 'valid'),
  )
}

function x25519(crypto: Crypto, vector: Case): string | null {
  const got = attempt(() =>
    toHex(crypto.x25519(hex(vector, 'private')).shared(hex(vector, 'public'))),
  )
  const zero = vector.flags.includes('ZeroSharedSecret')
  return same(got, zero ? 'crypto/low-order' : text(vector, 'shared'))
}

function chacha(crypto: Crypto, vector: Case): string | null {
  const key = crypto.aead(hex(vector, 'key'))
  const [nonce, aad] = [hex(vector, 'iv'), hex(vector, 'aad')]
  const sealed = concat(hex(vector, 'ct'), hex(vector, 'tag'))
  const opened = attempt(() => key.open(nonce, aad, sealed))
  if (nonce.length !== 12) return opened === 'crypto/bad-length' ? null : String(opened)
  if (vector.result === 'invalid') return opened === null ? null : String(opened)
  const resealed = toHex(key.seal(nonce, aad, hex(vector, 'msg')))
  return opened instanceof Uint8Array
    ? (same(toHex(opened), text(vector, 'msg')) ?? same(resealed, toHex(sealed)))
    : String(opened)
}

function hkdf(crypto: Crypto, vector: Case): string | null {
  const prk = crypto.hkdfExtract(hex(vector, 'salt'), hex(vector, 'ikm'))
  const got = attempt(() => toHex(crypto.hkdfExpand(prk, hex(vector, 'info'), vector.size ?? 0)))
  return same(got, vector.result === 'invalid' ? 'crypto/bad-length' : text(vector, 'okm'))
}

describe.each([
  ['noble', nobleCrypto],
  ['node', nodeCrypto],
  ['native', nativeCrypto],
  ['small', smallCrypto],
])('Wycheproof, %s', (_name, crypto) => {
  test.each([
    ['ed25519', ed25519],
    ['x25519', x25519],
    ['chacha20-poly1305', chacha],
    ['hkdf-sha256', hkdf],
  ] as const)('%s', (file, check) => {
    expect(failures(file, (vector) => check(crypto, vector))).toEqual([])
  })
})
