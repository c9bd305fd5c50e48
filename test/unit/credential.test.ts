import { ed25519 } from '@noble/curves/ed25519.js'
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { fromHex, toHex, utf8 } from '#bytes'
import { decode, encode, type CborValue } from '#cbor'
import { signSign1 } from '#cose'
import {
  checkRevocations,
  CLOCK_SLACK_S,
  createTrust,
  decodeCredential,
  isRevoked,
  issueCredential,
  issueRevocations,
  judgingTime,
  requireRole,
  type RevocationList,
} from '#credential'
import { nobleCrypto, type Crypto, type VerifyKey } from '#crypto'
import { nodeCrypto } from '#crypto-node'
import { decodeDown, encodeDown } from '#messages'
import { codeThrown } from '../support/coded.ts'

const authority = nodeCrypto.signingKey(new Uint8Array(32).fill(1))
const stranger = nodeCrypto.signingKey(new Uint8Array(32).fill(2))
const device = nodeCrypto.signingKey(new Uint8Array(32).fill(3))
const START = 1_760_000_000
const END = 1_900_000_000

const fields = {
  issuer: 'fogmeter',
  deviceId: 'meter-0001',
  role: 'meter' as const,
  group: 'default',
  publicKey: device.publicKey,
  notBeforeS: START,
  notAfterS: END,
  id: fromHex('0102030405060708'),
}
const encoded = issueCredential({ ...fields, authority })

/** Trust at a fixed time, in the middle of the validity if not given. */
function trustAt(nowS: number | null = START + 100, list: RevocationList | null = null) {
  const options = { crypto: nodeCrypto, authorityKey: authority.publicKey }
  return createTrust({ ...options, now: () => nowS, revocations: () => list })
}

/** A credential with some claims replaced or removed, signed by the real authority. */
function withClaims(change: (claims: Map<number | string, CborValue>) => void): Uint8Array {
  const [, , payload] = decode(encoded) as CborValue[]
  const claims = decode(payload as Uint8Array) as Map<number | string, CborValue>
  change(claims)
  return signSign1({ payload: encode(claims), key: authority })
}

const coseKey = (...pairs: [number, CborValue][]) => new Map([[1, new Map(pairs) as CborValue]])

describe('a credential', () => {
  test('says what it was issued for', () => {
    expect(decodeCredential(encoded)).toEqual({ ...fields, encoded })
    expect(trustAt().check(encoded)).toEqual({ ...fields, encoded })
  })

  test('is a CWT with a cnf key, readable with the RFCs beside it', () => {
    const [protectedBytes, unprotected, payload] = decode(encoded) as CborValue[]
    expect(toHex(protectedBytes as Uint8Array)).toBe('a10127')
    expect(unprotected).toEqual(new Map())
    expect(decode(payload as Uint8Array)).toEqual(
      new Map<number, CborValue>([
        [1, 'fogmeter'],
        [2, 'meter-0001'],
        [3, 'default'],
        [4, END],
        [5, START],
        [7, fields.id],
        [8, coseKey([1, 1], [-1, 6], [-2, device.publicKey])],
        [-65_537, 0],
      ]),
    )
  })

  test('stays small', () => {
    expect(encoded.length).toBe(177)
    const names = { issuer: 'stadtwerke', deviceId: 'meter-0123456789', group: 'district-04' }
    expect(issueCredential({ ...fields, ...names, authority }).length).toBeLessThanOrEqual(190)
    const long = 'x'.repeat(32)
    const longest = { issuer: long, deviceId: long, group: long }
    expect(issueCredential({ ...fields, ...longest, authority }).length).toBe(251)
  })

  test('has one encoding: decode(issue(x)) is x for any names and times', () => {
    const name = fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9._-]{0,31}$/)
    const role = fc.constantFrom('meter' as const, 'fog' as const, 'cloud' as const)
    const time = fc.integer({ min: 0, max: 2 ** 40 })
    fc.assert(
      fc.property(name, name, role, time, time, (deviceId, group, asRole, from, length) => {
        const times = { notBeforeS: from, notAfterS: from + length + 1 }
        const input = { ...fields, deviceId, group, role: asRole, ...times }
        const bytes = issueCredential({ ...input, authority })
        expect(decodeCredential(bytes)).toEqual({ ...input, encoded: bytes })
      }),
      { numRuns: 50 },
    )
  })
})

describe('issuing refuses', () => {
  const order8 = ed25519.Point.fromHex(
    'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
    true,
  )
  const mixedOrder = ed25519.Point.fromBytes(device.publicKey).add(order8).toBytes()
  const key = 'crypto/bad-public-key'
  const malformed = 'credential/malformed'
  const rows: [string, Partial<Record<keyof typeof fields, unknown>>, string][] = [
    ['an empty name', { deviceId: '' }, malformed],
    ['a name that climbs', { deviceId: '../other' }, malformed],
    ['a name with a slash', { deviceId: 'a/b' }, malformed],
    ['a name with a line break', { deviceId: 'a\n' }, malformed],
    ['a name of 33', { deviceId: 'x'.repeat(33) }, malformed],
    ['a group with a wildcard', { group: '#' }, malformed],
    ['a role we do not have', { role: 'admin' }, malformed],
    ['an id of 7 bytes', { id: new Uint8Array(7) }, malformed],
    ['an end before the start', { notAfterS: START }, malformed],
    ['half seconds', { notBeforeS: START + 0.5 }, malformed],
    ['a key of small order', { publicKey: order8.toBytes() }, key],
    ['a key of mixed order', { publicKey: mixedOrder }, key],
    ['a key that is no point', { publicKey: Uint8Array.of(2, ...new Uint8Array(31)) }, key],
  ]
  test.each(rows)('%s', (_name, change, code) => {
    const input = { ...fields, ...change, authority } as Parameters<typeof issueCredential>[0]
    expect(codeThrown(() => issueCredential(input))).toBe(code)
  })
})

describe('decoding refuses, although the authority signed it', () => {
  const x = device.publicKey
  const rows: [string, () => Uint8Array][] = [
    ['a missing claim', () => withClaims((claims) => claims.delete(7))],
    ['a claim we do not know', () => withClaims((claims) => claims.set(6, START))],
    ['a text where a time belongs', () => withClaims((claims) => claims.set(4, 'never'))],
    ['an unknown role', () => withClaims((claims) => claims.set(-65_537, 3))],
    ['a role by name', () => withClaims((claims) => claims.set(-65_537, 'meter'))],
    ['a bad name', () => withClaims((claims) => claims.set(2, '+'))],
    ['another curve', () => withClaims((c) => c.set(8, coseKey([1, 1], [-1, 4], [-2, x])))],
    ['another key type', () => withClaims((c) => c.set(8, coseKey([1, 2], [-1, 6], [-2, x])))],
    ['a short key', () => withClaims((c) => c.set(8, coseKey([1, 1], [-1, 6], [-2, fields.id])))],
    [
      'a private key inside',
      () => withClaims((c) => c.set(8, coseKey([1, 1], [-1, 6], [-2, x], [-4, x]))),
    ],
    ['claims that are no map', () => signSign1({ payload: encode([1]), key: authority })],
    ['claims that are no CBOR', () => signSign1({ payload: fromHex('ff'), key: authority })],
    ['a detached payload', () => signSign1({ payload: utf8(''), key: authority, detached: true })],
  ]
  test.each(rows)('%s', (_name, make) => {
    expect(codeThrown(() => decodeCredential(make()))).toBe('credential/malformed')
    expect(codeThrown(() => trustAt().check(make()))).toBe('credential/malformed')
  })

  test('anything in the unsigned header: equal credentials stay equal bytes', () => {
    const parts = decode(encoded) as CborValue[]
    parts[1] = new Map([[4, utf8('anything')]])
    expect(codeThrown(() => trustAt().check(encode(parts)))).toBe('credential/malformed')
  })

  test('random bytes and every changed bit, with one of our codes', () => {
    const codes = /^credential\/(malformed|untrusted)$/
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        expect(codeThrown(() => trustAt().check(bytes))).toMatch(codes)
      }),
    )
    for (let bit = 0; bit < encoded.length * 8; bit++) {
      const changed = Uint8Array.from(encoded)
      changed[bit >> 3] = (changed[bit >> 3] as number) ^ (1 << (bit & 7))
      expect(codeThrown(() => trustAt().check(changed))).toMatch(codes)
    }
  })
})

/** Counts signature checks. */
function counting(): { crypto: Crypto; count: () => number } {
  let verified = 0
  const verifyKey = (publicKey: Uint8Array): VerifyKey => {
    const key = nodeCrypto.verifyKey(publicKey)
    return {
      publicKey: key.publicKey,
      verify(message, signature) {
        verified += 1
        return key.verify(message, signature)
      },
    }
  }
  return { crypto: { ...nodeCrypto, verifyKey }, count: () => verified }
}

describe('trust', () => {
  test.each([
    ['before it starts', START - 1, 'credential/not-yet-valid'],
    ['from its first second', START, 'nothing thrown'],
    ['to its last second', END - 1, 'nothing thrown'],
    ['when it has ended', END, 'credential/expired'],
    ['without a clock: dates are not judged', null, 'nothing thrown'],
  ])('%s', (_name, nowS, code) => {
    expect(codeThrown(() => trustAt(nowS).check(encoded))).toBe(code)
  })

  test.each([
    ['a clock at 1970 judges nobody', 100, null],
    [
      'a day before its own credential starts it does',
      START - CLOCK_SLACK_S,
      START - CLOCK_SLACK_S,
    ],
    ['further back its clock is no witness', START - CLOCK_SLACK_S - 1, null],
    ['in the middle', START + 100, START + 100],
    [
      'until a day after its own credential ended',
      END + CLOCK_SLACK_S - 1,
      END + CLOCK_SLACK_S - 1,
    ],
    ['a clock at 2100 judges nobody', 4_102_444_800, null],
  ])('%s', (_name, nowS, judged) => {
    expect(judgingTime({ now: () => nowS * 1000 + 999 }, fields)()).toBe(judged)
  })

  test.each([
    ['early', START - 11, 'credential/not-yet-valid'],
    ['just within', START - 10, 'nothing thrown'],
    ['just within at the end', END + 9, 'nothing thrown'],
    ['late', END + 10, 'credential/expired'],
  ])('with ten seconds of slack, %s', (_name, nowS, code) => {
    const options = { crypto: nodeCrypto, authorityKey: authority.publicKey }
    const trust = createTrust({ ...options, now: () => nowS, slackS: 10 })
    expect(codeThrown(() => trust.check(encoded))).toBe(code)
  })

  test('another authority is not ours, whatever it says', () => {
    const foreign = issueCredential({ ...fields, authority: stranger })
    expect(codeThrown(() => trustAt().check(foreign))).toBe('credential/untrusted')
    expect(codeThrown(() => trustAt(null).check(foreign))).toBe('credential/untrusted')
    const theirs = createTrust({
      crypto: nodeCrypto,
      authorityKey: stranger.publicKey,
      now: () => null,
    })
    expect(theirs.check(foreign).deviceId).toBe('meter-0001')
  })

  test('a device cannot issue credentials, though its key signs too', () => {
    const own = issueCredential({ ...fields, authority: device })
    expect(codeThrown(() => trustAt().check(own))).toBe('credential/untrusted')
  })

  test('a revocation counts at once, with or without a clock, cached or not', () => {
    let list: RevocationList | null = null
    let nowS: number | null = START
    const trust = createTrust({
      crypto: nodeCrypto,
      authorityKey: authority.publicKey,
      now: () => nowS,
      revocations: () => list,
    })
    expect(trust.check(encoded).deviceId).toBe('meter-0001')
    const signed = issueRevocations({ authority, number: 2, issuedS: START, ids: [fields.id] })
    list = checkRevocations(nodeCrypto, authority.publicKey, signed)
    expect(codeThrown(() => trust.check(encoded))).toBe('credential/revoked')
    nowS = null
    expect(codeThrown(() => trust.check(encoded))).toBe('credential/revoked')
    const other = issueCredential({ ...fields, id: new Uint8Array(8), authority })
    expect(trust.check(other).deviceId).toBe('meter-0001')
  })

  test('an expiry counts although the signature is cached', () => {
    let nowS = START
    const trust = createTrust({
      crypto: nodeCrypto,
      authorityKey: authority.publicKey,
      now: () => nowS,
    })
    expect(trust.check(encoded).notAfterS).toBe(END)
    nowS = END
    expect(codeThrown(() => trust.check(encoded))).toBe('credential/expired')
  })

  test('a signature is checked once, the least used is forgotten first, forgeries never kept', () => {
    const { crypto, count } = counting()
    const options = { crypto, authorityKey: authority.publicKey, now: () => null }
    const trust = createTrust({ ...options, cacheSize: 2 })
    const [a, b, c] = [1, 2, 3].map((id) =>
      issueCredential({ ...fields, id: new Uint8Array(8).fill(id), authority }),
    ) as [Uint8Array, Uint8Array, Uint8Array]
    trust.check(a)
    trust.check(b)
    trust.check(a)
    expect(count()).toBe(2)
    trust.check(c) // pushes out b
    trust.check(a)
    expect(count()).toBe(3)
    trust.check(b)
    expect(count()).toBe(4)
    const forged = issueCredential({ ...fields, authority: stranger })
    for (let i = 0; i < 5; i++)
      expect(codeThrown(() => trust.check(forged))).toBe('credential/untrusted')
    expect(count()).toBe(9)
    trust.check(a)
    trust.check(b)
    expect(count()).toBeLessThanOrEqual(10)
  })

  test('a key is prepared once for a remembered credential, and anew for a forgotten one', () => {
    let prepared = 0
    const crypto: Crypto = {
      ...nodeCrypto,
      verifyKey(publicKey) {
        prepared += 1
        return nodeCrypto.verifyKey(publicKey)
      },
    }
    const options = { crypto, authorityKey: authority.publicKey, now: () => null }
    const [keeps, forgets] = [createTrust(options), createTrust({ ...options, cacheSize: 0 })]
    const before = prepared
    const { key } = keeps.checkPeer(encoded)
    expect(keeps.checkPeer(encoded).key).toBe(key)
    expect(key.verify(utf8('x'), device.sign(utf8('x')))).toBe(true)
    expect(prepared - before).toBe(1)
    forgets.checkPeer(encoded)
    forgets.checkPeer(encoded)
    expect(prepared - before).toBe(3)
  })

  test('a forgery with the fingerprint of a remembered credential is still a forgery', () => {
    const trust = trustAt()
    trust.check(encoded)
    const twin = withSameFingerprint(encoded)
    expect(fnv1a(twin)).toBe(fnv1a(encoded))
    expect(twin).not.toEqual(encoded)
    expect(codeThrown(() => trust.check(twin))).toBe('credential/untrusted')
    expect(trust.check(encoded)).toEqual({ ...fields, encoded })
  })

  test('roles and groups', () => {
    const credential = decodeCredential(encoded)
    expect(codeThrown(() => requireRole(credential, 'meter', 'default'))).toBe('nothing thrown')
    expect(codeThrown(() => requireRole(credential, 'fog', 'default'))).toBe(
      'credential/wrong-role',
    )
    expect(codeThrown(() => requireRole(credential, 'meter', 'other'))).toBe(
      'credential/wrong-group',
    )
  })
})

const PRIME = 0x01000193
/** PRIME × INVERSE = 1 (mod 2^32), so that FNV-1a can be run backwards. */
const INVERSE = 0x359c449b

function fnv1a(bytes: Uint8Array): number {
  return bytes.reduce((hash, byte) => Math.imul(hash ^ byte, PRIME), 0x811c9dc5) | 0
}

/** Other bytes at the end, found by meeting in the middle. */
function withSameFingerprint(bytes: Uint8Array): Uint8Array {
  const twin = bytes.slice()
  const ends = new Map<number, number>()
  for (let last = 0; last < 0x10000; last++) {
    const before = Math.imul(fnv1a(bytes), INVERSE) ^ (last & 0xff)
    ends.set(Math.imul(before, INVERSE) ^ (last >> 8), last)
  }
  const start = fnv1a(bytes.subarray(0, -5))
  for (let middle = 0; middle < 0x1000000; middle++) {
    const three = [middle & 0xff, (middle >> 8) & 0xff, middle >> 16]
    const last = ends.get(three.reduce((hash, byte) => Math.imul(hash ^ byte, PRIME), start))
    if (last === undefined) continue
    twin.set([...three, last >> 8, last & 0xff], twin.length - 5)
    if (twin.some((byte, i) => byte !== bytes[i])) return twin
  }
  throw new Error('no twin found')
}

describe('revocation lists', () => {
  const ids = [fromHex('ffffffffffffffff'), fields.id, fields.id]
  const signed = issueRevocations({ authority, number: 7, issuedS: START, ids })

  test.each([
    ['noble', nobleCrypto],
    ['node', nodeCrypto],
  ])('come back sorted and without repetition, %s', (_name, crypto) => {
    const list = checkRevocations(crypto, authority.publicKey, signed)
    expect(list).toEqual({ number: 7, issuedS: START, ids: [ids[1], ids[0]], encoded: signed })
    expect(isRevoked(list, fields)).toBe(true)
    expect(isRevoked(list, { id: new Uint8Array(8) })).toBe(false)
  })

  test('hold as many as fit one message, and say so when they are full', () => {
    const many = Array.from({ length: 6_001 }, (_, index) => {
      const id = new Uint8Array(8)
      new DataView(id.buffer).setUint32(0, index)
      return id
    })
    const issue = (entries: Uint8Array[]) =>
      issueRevocations({ authority, number: 2 ** 40, issuedS: 2 ** 40, ids: entries })
    const full = many.slice(0, 6_000)
    const sent = encodeDown({ type: 'revocations', list: issue(full) })
    expect(sent.length).toBeLessThan(60_000)
    const received = decodeDown(sent)
    if (received.type !== 'revocations') throw new Error(received.type)
    expect(checkRevocations(nodeCrypto, authority.publicKey, received.list).ids).toEqual(full)
    expect(codeThrown(() => issue(many))).toBe('credential/list-full')
  })

  const wrap = (value: CborValue) =>
    signSign1({
      payload: encode(value),
      key: authority,
      externalAad: utf8('fogmeter revocations 1'),
    })
  test.each([
    [
      'from a stranger',
      issueRevocations({ authority: stranger, number: 7, issuedS: 0, ids: [] }),
      'untrusted',
    ],
    ['that is a credential', encoded, 'untrusted'],
    ['cut short', signed.subarray(0, 80), 'malformed'],
    ['not a triple', wrap([1, 2]), 'malformed'],
    ['with a negative number', wrap([-1, 0, []]), 'malformed'],
    ['with a short id', wrap([1, 0, [new Uint8Array(7)]]), 'malformed'],
    ['with text as ids', wrap([1, 0, 'all']), 'malformed'],
    [
      'with more than fit',
      wrap([1, 0, Array.from({ length: 6_001 }, () => new Uint8Array(8))]),
      'malformed',
    ],
  ])('are refused %s', (_name, bytes, what) => {
    expect(codeThrown(() => checkRevocations(nodeCrypto, authority.publicKey, bytes))).toBe(
      `credential/${what}`,
    )
  })

  test('never pass for a credential', () => {
    expect(codeThrown(() => trustAt().check(signed))).toBe('credential/malformed')
  })
})
