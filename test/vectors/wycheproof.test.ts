/** Project Wycheproof's cases through both implementations, all of them, in one test a file. */
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { fromHex, toHex } from '#bytes'
import { nobleCrypto, type Crypto } from '#crypto'
import { nodeCrypto } from '#crypto-node'
import { codeOf } from '#errors'
import { sharedPath } from '../support/shared.ts'

type Case = Record<string, string> & { tcId: number; size: number; result: string; flags: string[] }
interface Group {
  publicKey?: { pk: string }
  tests: Case[]
}

function groups(name: string): Group[] {
  const path = sharedPath(`vectors/wycheproof/${name}_test.json`) as string
  return (JSON.parse(readFileSync(path, 'utf8')) as { testGroups: Group[] }).testGroups
}

const hex = (vector: Case, field: string) => fromHex(vector[field] ?? '')

/** What went wrong, as `tcId: got`; an empty list is a pass. */
function failures(name: string, check: (vector: Case, group: Group) => string | null): string[] {
  const all = groups(name).flatMap((group) => group.tests.map((vector) => ({ vector, group })))
  expect(all.length).toBe(COUNTS[name])
  return all.flatMap(({ vector, group }) => {
    const wrong = check(vector, group)
    return wrong === null ? [] : [`${vector.tcId}: ${wrong}`]
  })
}

/** So that a truncated file is not a pass. */
const COUNTS: Record<string, number> = {
  ed25519: 151,
  x25519: 518,
  chacha20_poly1305: 325,
  hkdf_sha256: 86,
}

function attempt<T>(action: () => T): T | string {
  try {
    return action()
  } catch (error) {
    return codeOf(error)
  }
}

const same = (got: string, wanted: string) => (got === wanted ? null : got)

function ed25519(crypto: Crypto, vector: Case, group: Group): string | null {
  const key = crypto.verifyKey(fromHex(group.publicKey?.pk ?? ''))
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
  return same(got, zero ? 'crypto/low-order' : (vector['shared'] as string))
}

function chacha(crypto: Crypto, vector: Case): string | null {
  const key = crypto.aead(hex(vector, 'key'))
  const [nonce, aad] = [hex(vector, 'iv'), hex(vector, 'aad')]
  const sealed = fromHex(`${vector['ct']}${vector['tag']}`)
  const opened = attempt(() => key.open(nonce, aad, sealed))
  if (nonce.length !== 12) return opened === 'crypto/bad-length' ? null : String(opened)
  if (vector.result === 'invalid') return opened === null ? null : String(opened)
  const resealed = toHex(key.seal(nonce, aad, hex(vector, 'msg')))
  return opened instanceof Uint8Array
    ? (same(toHex(opened), vector['msg'] as string) ?? same(resealed, toHex(sealed)))
    : String(opened)
}

function hkdf(crypto: Crypto, vector: Case): string | null {
  const prk = crypto.hkdfExtract(hex(vector, 'salt'), hex(vector, 'ikm'))
  const got = attempt(() => toHex(crypto.hkdfExpand(prk, hex(vector, 'info'), vector.size)))
  return same(got, vector.result === 'invalid' ? 'crypto/bad-length' : (vector['okm'] as string))
}

describe.skipIf(sharedPath('vectors/wycheproof') === null).each([
  ['noble', nobleCrypto],
  ['node', nodeCrypto],
])('Wycheproof (needs the development data set), %s', (_name, crypto) => {
  test.each([
    ['ed25519', ed25519],
    ['x25519', x25519],
    ['chacha20_poly1305', chacha],
    ['hkdf_sha256', hkdf],
  ])('%s', (file, check) => {
    expect(failures(file, (vector, group) => check(crypto, vector, group))).toEqual([])
  })
})
