/** Requests, tokens, codes, and the cloud's desk. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import * as fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { fromHex, toBase64Url, toHex } from '#bytes'
import { decode, encode, type CborValue } from '#cbor'
import { checkRevocations, decodeCredential, isRevoked } from '#credential'
import { nodeCrypto } from '#crypto-node'
import {
  checkAnswer,
  claimCode,
  decodeRequest,
  encodeRequest,
  fingerprintOf,
  fingerprintOfWords,
  newToken,
  parseCode,
  tokenKey,
} from '#enrolment'
import { CodedError } from '#errors'
import { enrol, readEnrolments } from '#identity'
import { codeThrown } from '../support/coded.ts'
import { keyOf, NOW_S, testDesk } from '../support/enrolment.ts'

const TOKEN = 'AAECAwQFBgcICQoLDA0ODw'
const token = tokenKey(nodeCrypto, TOKEN)
const key = keyOf(1)
const parts = (bytes: Uint8Array) => decode(bytes) as CborValue[]
const request = (name: string | null = 'FN-01', from = key, by: typeof key | null = token) =>
  encodeRequest({ name, key: from, token: by })

describe('tokens', () => {
  test('a token stands for one key; vector made with another HKDF and Ed25519', () => {
    expect(toHex(token.publicKey)).toBe(VECTOR)
    expect(tokenKey(nodeCrypto, `${TOKEN}\n`).publicKey).toEqual(token.publicKey)
  })

  test('a new one has 128 bits of the randomness given', () => {
    expect(newToken((length) => new Uint8Array(length).fill(255))).toBe('_____________________w')
  })

  test.each(['', 'AAECAwQFBgcICQoLDA0OD', 'AAECAwQFBgcICQoLDA0ODx', `${TOKEN}AA`, 'ä'.repeat(22)])(
    '%j is none, and the complaint does not repeat it',
    (text) => {
      const error = thrownBy(() => tokenKey(nodeCrypto, text))
      expect(error.code).toBe('enrolment/bad-token')
      expect(`"${error.message}"`).not.toContain(text === '' ? '""' : text)
    },
  )
})

describe('requests', () => {
  test.each([
    ['with token and name', 'FN-01', token],
    ['without a name', null, token],
    ['without a token', 'FN-01', null],
  ] as const)('%s: what was asked comes out', (_, name, by) => {
    const tokenPublic = by === null ? null : by.publicKey
    expect(decodeRequest(nodeCrypto, request(name, key, by))).toEqual({
      name,
      publicKey: key.publicKey,
      tokenKey: tokenPublic,
    })
  })

  test('the longest fits where the cloud takes it', () => {
    expect(toBase64Url(request('N'.repeat(32))).length).toBeLessThan(700)
  })

  test('every flipped bit and every truncation is refused', () => {
    const bytes = request()
    for (let at = 0; at < bytes.length; at++) {
      for (let bit = 0; bit < 8; bit++) {
        const bad = Uint8Array.from(bytes)
        bad[at] = (bad[at] as number) ^ (1 << bit)
        expect(codeThrown(() => decodeRequest(nodeCrypto, bad))).toMatch(/^enrolment\//)
      }
      expect(codeThrown(() => decodeRequest(nodeCrypto, bytes.subarray(0, at)))).toMatch(
        /^enrolment\//,
      )
    }
  })

  test('parts of two requests do not make a third', () => {
    const [mine, others] = [parts(request()), parts(request('FN-01', keyOf(2), keyOf(3)))]
    const another = parts(request('FN-02'))
    for (const mixed of [
      [others[0], mine[1]], // my token for another key
      [another[0], mine[1]], // my token for another name
      [mine[0], others[1]],
    ])
      expect(codeThrown(() => decodeRequest(nodeCrypto, encode(mixed as CborValue)))).toBe(
        'enrolment/bad-proof',
      )
  })

  test('nonsense never gets past as anything but an error of ours', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 600 }), (bytes) => {
        expect(codeThrown(() => decodeRequest(nodeCrypto, bytes))).toMatch(/^enrolment\//)
      }),
    )
  })
})

describe('codes', () => {
  test('eight words for 88 bits, and back', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 11, maxLength: 11 }), (fingerprint) => {
        const words = parseCode(claimCode(fingerprint))
        expect(words).toHaveLength(8)
        expect(fingerprintOfWords(words)).toEqual(fingerprint)
      }),
    )
  })

  test('bits go to the words from the front', () => {
    expect(claimCode(fromHex('0000000000000000000001'))).toBe(
      'abandon-abandon-abandon-abandon-abandon-abandon-abandon-ability',
    )
    expect(claimCode(new Uint8Array(11).fill(255))).toBe(Array(8).fill('zoo').join('-'))
  })

  test('as people type them', () => {
    expect(parseCode(' Abandon  abil-ZOO ')).toEqual(['abandon', 'ability', 'zoo'])
    expect(fingerprintOfWords(['abandon'])).toBeNull()
    for (const wrong of ['', 'abandonn', 'aban don', 'zoo '.repeat(9)])
      expect(codeThrown(() => parseCode(wrong))).toBe('enrolment/bad-code')
  })
})

describe('the desk', () => {
  let bench: ReturnType<typeof testDesk>
  beforeEach(() => void (bench = testDesk()))
  afterEach(() => bench.close())
  const approve = (name = 'FN-01', replace = false, id = token.publicKey) =>
    bench.desk.approve({ id, name, replace })
  const ask = (bytes = request()) => bench.desk.ask(bytes, '192.0.2.7')
  const enrolled = (bytes?: Uint8Array) => {
    const answer = ask(bytes)
    if (answer.status !== 'enrolled') throw new Error(`not enrolled: ${answer.for}`)
    return answer.credential
  }

  test('a token gives its key the name it was made for', () => {
    expect(approve()).toBe(NOW_S + 86_400)
    const credential = decodeCredential(enrolled())
    expect(credential).toMatchObject({ deviceId: 'FN-01', role: 'fog', publicKey: key.publicKey })
    const { authorityKey } = bench
    const asked = { crypto: nodeCrypto, authorityKey, name: 'FN-01', publicKey: key.publicKey }
    expect(checkAnswer({ ...asked, encoded: credential.encoded })).toEqual(credential)
  })

  test('asked again, also after restarts and a day later, it gives the same answer', () => {
    approve()
    const first = enrolled()
    bench.clock.s += 100_000
    bench.restart()
    expect(enrolled()).toEqual(first)
    expect(readEnrolments(bench.authority)).toHaveLength(1)
  })

  test('a node without a name gets the one that was approved', () => {
    approve('FN-09')
    expect(decodeCredential(enrolled(request(null))).deviceId).toBe('FN-09')
  })

  test('when signing fails, the approval is bound to the key, and the next try ends well', () => {
    approve()
    bench.faults.issue = new CodedError('identity/unwritable', 'the disk is full')
    expect(codeThrown(ask)).toBe('identity/unwritable')
    bench.faults.issue = null
    bench.restart()
    expect(codeThrown(() => ask(request('FN-01', keyOf(2))))).toBe('enrolment/token-used')
    expect(decodeCredential(enrolled()).publicKey).toEqual(key.publicKey)
  })

  test('signed, and the cloud died before it wrote that down: one credential, not two', () => {
    approve()
    const { store } = bench
    const once = store().enrolment(key.publicKey)
    expect(once).toBeNull()
    const first = enrolled()
    store().accept(token.publicKey, {
      publicKey: key.publicKey,
      name: 'FN-01',
      replace: false,
      acceptedS: NOW_S,
      credential: null,
    })
    expect(enrolled()).toEqual(first)
    expect(readEnrolments(bench.authority)).toHaveLength(1)
  })

  test('a name that is taken is refused where the operator stands, unless it is to be replaced', () => {
    approve()
    const first = enrolled()
    const next = keyOf(50)
    expect(codeThrown(() => approve('FN-01', false, next.publicKey))).toBe(
      'identity/already-enrolled',
    )
    approve('FN-01', true, next.publicKey)
    const second = enrolled(request('FN-01', keyOf(2), next))
    expect(second).not.toEqual(first)
    const encoded = readFileSync(join(bench.authority, 'revoked.cose'))
    const list = checkRevocations(nodeCrypto, bench.authorityKey, encoded)
    const revoked = [first, second].map((one) => isRevoked(list, decodeCredential(one)))
    expect(revoked).toEqual([true, false])
  })

  test('a name of a meter is not replaced by a fog node', () => {
    enrol(bench.authority, 'meter', 'kitchen', { nowS: NOW_S })
    for (const replace of [false, true])
      expect(codeThrown(() => approve('kitchen', replace))).toBe('identity/already-enrolled')
    // Not even where the approval was there before the meter.
    approve('attic', true)
    enrol(bench.authority, 'meter', 'attic', { nowS: NOW_S })
    expect(codeThrown(() => ask(request('attic')))).toBe('identity/already-enrolled')
    const list = checkRevocations(
      nodeCrypto,
      bench.authorityKey,
      readFileSync(join(bench.authority, 'revoked.cose')),
    )
    expect(list.ids).toEqual([])
  })

  test('another token for a name takes the place of an unused one', () => {
    approve()
    approve('FN-01', false, keyOf(60).publicKey)
    expect(codeThrown(ask)).toBe('enrolment/unknown-token')
    expect(enrolled(request('FN-01', key, keyOf(60)))).toBeInstanceOf(Uint8Array)
  })

  test('a code approves the key it was made of, before or after the key asks', () => {
    const plain = request('FN-01', key, null)
    expect(ask(plain)).toEqual({ status: 'waiting', for: 'approval' })
    const fingerprint = fingerprintOf(nodeCrypto, key.publicKey)
    expect(bench.desk.waiting()).toMatchObject([
      { code: claimCode(fingerprint), name: 'FN-01', origin: '192.0.2.7' },
    ])
    expect(ask(request('FN-01', keyOf(2), null)).status).toBe('waiting')
    approve('FN-01', false, fingerprint)
    expect(ask(request('FN-01', keyOf(2), null)).status).toBe('waiting')
    expect(decodeCredential(enrolled(plain)).publicKey).toEqual(key.publicKey)
    expect(bench.desk.waiting()).toHaveLength(1)
  })

  test('without the authority, requests wait for a signature and take only the one asked for', () => {
    bench.close()
    bench = testDesk({ authority: false })
    approve()
    expect(ask()).toEqual({ status: 'waiting', for: 'signature' })
    const signing = testDesk()
    const sign = (name: string, from: typeof key) => {
      signing.desk.approve({ id: from.publicKey, name, replace: true })
      const answer = signing.desk.ask(request(name, from, from), '')
      return decodeCredential((answer as { credential: Uint8Array }).credential)
    }
    for (const wrong of [sign('FN-01', keyOf(2)), sign('FN-02', key)])
      expect(codeThrown(() => bench.desk.deliver(wrong))).toBe('enrolment/not-asked')
    const right = sign('FN-01', key)
    bench.desk.deliver(right)
    bench.restart()
    expect(enrolled()).toEqual(right.encoded)
    signing.close()
  })
})

/** HKDF-SHA-256 and Ed25519 of Python's cryptography package. */
const VECTOR = '31dda7d2705dd695dae57bd5b73fc39b48764f7c2bba7c66091c6babca973c31'

function thrownBy(action: () => unknown): CodedError {
  try {
    action()
  } catch (error) {
    if (error instanceof CodedError) return error
  }
  throw new Error('nothing of ours was thrown')
}
