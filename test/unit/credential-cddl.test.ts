import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { decode, type CborValue } from '#cbor'
import { issueCredential, issueRevocations } from '#credential'
import { nodeCrypto } from '#crypto-node'
import { cddlValidator } from '../check/cddl-validate.ts'

const matches = cddlValidator(
  fileURLToPath(new URL('../../libs/credential/credential.cddl', import.meta.url)),
)
const authority = nodeCrypto.signingKey(new Uint8Array(32).fill(1))

const encoded = issueCredential({
  authority,
  issuer: 'fogmeter',
  deviceId: 'meter-0001',
  role: 'meter',
  group: 'default',
  publicKey: authority.publicKey,
  notBeforeS: 1_760_000_000,
  notAfterS: 1_900_000_000,
  id: new Uint8Array(8),
})
const list = issueRevocations({ authority, number: 3, issuedS: 9, ids: [new Uint8Array(8)] })

function payloadOf(sign1: Uint8Array): CborValue {
  return decode((decode(sign1) as CborValue[])[2] as Uint8Array)
}

function claimsWith(key: number, value: CborValue | undefined): CborValue {
  const claims = new Map(payloadOf(encoded) as Map<number, CborValue>)
  if (value === undefined) claims.delete(key)
  else claims.set(key, value)
  return claims
}

describe('credential.cddl', () => {
  test('describes what the authority signs', () => {
    expect(matches('credential', decode(encoded))).toBe(true)
    expect(matches('claims', payloadOf(encoded))).toBe(true)
    expect(matches('revocation-list', decode(list))).toBe(true)
    expect(matches('revoked', payloadOf(list))).toBe(true)
  })

  test.each<[string, CborValue]>([
    ['claims', claimsWith(2, 'no/name')],
    ['claims', claimsWith(-65_537, 3)],
    ['claims', claimsWith(7, new Uint8Array(7))],
    ['claims', claimsWith(6, 1)],
    ['claims', claimsWith(1, undefined)],
    ['confirmation', new Map([[1, new Map([[1, 1]])]])],
    ['revoked', [0, 9, []]],
    ['revoked', [1, 9, [new Uint8Array(9)]]],
    ['credential', [new Uint8Array(), new Map([[1, 1]]), new Uint8Array(), new Uint8Array(64)]],
  ])('%s %j is refused', (rule, value) => {
    expect(matches(rule, value)).toBe(false)
  })
})
