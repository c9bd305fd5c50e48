import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { decode, encode, type CborValue } from '#cbor'
import { nodeCrypto } from '#crypto-node'
import { decodeRequest, encodeRequest } from '#enrolment'
import { cddlValidator } from '../check/cddl-validate.ts'
import { codeThrown } from '../support/coded.ts'
import { keyOf } from '../support/enrolment.ts'

const matches = cddlValidator(
  fileURLToPath(new URL('../../libs/enrolment/enrolment.cddl', import.meta.url)),
)
const request = encodeRequest({ name: 'FN-01', key: keyOf(1), token: keyOf(2) })
const [asked, proof] = decode(request) as [Uint8Array, [Uint8Array, Uint8Array]]
const signed = decode(asked) as CborValue[]

describe('enrolment.cddl', () => {
  test('describes what a device sends', () => {
    expect(matches('request', decode(request))).toBe(true)
    expect(matches('signed', signed)).toBe(true)
    expect(matches('asked-for', decode(signed[2] as Uint8Array))).toBe(true)
    expect(matches('detached', decode(proof[1]))).toBe(true)
    const plain = encodeRequest({ name: null, key: keyOf(1), token: null })
    expect(matches('request', decode(plain))).toBe(true)
  })

  test.each<[string, CborValue]>([
    ['three parts', [asked, proof, null]],
    ['a short key', [asked, [proof[0].subarray(1), proof[1]]]],
    ['no signed part', [null, proof]],
    ['a proof that is none', [asked, [proof[0]]]],
  ])('%s: refused by it and by the decoder', (_, value) => {
    expect(matches('request', value)).toBe(false)
    expect(codeThrown(() => decodeRequest(nodeCrypto, encode(value)))).toBe('enrolment/malformed')
  })

  test.each<[string, CborValue]>([
    ['a name that is none', ['no/name', keyOf(1).publicKey]],
    ['a key as text', ['FN-01', 'key']],
  ])('%s: refused by it', (_, value) => {
    expect(matches('asked-for', value)).toBe(false)
  })
})
