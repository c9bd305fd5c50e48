import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { createPrivateKey, createPublicKey } from 'node:crypto'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { equal, fromBase64Url, toBase64Url, toHex } from '#bytes'
import { createTrust, isRevoked, issueRevocations, type RevocationList } from '#credential'
import { nodeCrypto } from '#crypto-node'
import { codeOf, CodedError } from '#errors'
import {
  createAuthority,
  createKeyFile,
  enrol,
  loadDeviceId,
  loadIdentity,
  readEnrolments,
  recallRevocations,
  rememberRevocations,
  revoke,
  watchRevocations,
  type EnrolmentPaths,
  type EnrolOptions,
  type IdentityPaths,
} from '#identity'

const NOW = 1_770_000_000
const DAY = 86_400

let root = ''
let folder = ''

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'fogmeter-identity-'))
  folder = join(root, 'authority')
  createAuthority(folder, { nowS: NOW })
})
afterEach(() => rmSync(root, { recursive: true, force: true }))

function thrown(action: () => unknown): CodedError {
  try {
    action()
  } catch (error) {
    if (error instanceof CodedError) return error
    throw error
  }
  return new CodedError('nothing thrown', '')
}

const add = (name: string, options: EnrolOptions = {}) =>
  enrol(folder, 'meter', name, { nowS: NOW, ...options })

function withKey(paths: EnrolmentPaths): IdentityPaths {
  expect(paths.key).not.toBeNull()
  return { key: paths.key as string, credential: paths.credential, authority: paths.authority }
}

const mode = (path: string) => statSync(path).mode & 0o777

describe('enrolment', () => {
  test('gives a device everything it needs', () => {
    const paths = enrol(folder, 'fog', 'fog-1', { nowS: NOW, group: 'north', days: 10 })
    const own = loadIdentity(withKey(paths))
    expect(own.deviceId).toBe('fog-1')
    const { role, group, issuer, notBeforeS, notAfterS } = own.credential
    expect({ role, group, issuer }).toEqual({ role: 'fog', group: 'north', issuer: 'fogmeter' })
    expect([notBeforeS, notAfterS]).toEqual([NOW - 3600, NOW + 10 * DAY])
    expect(nodeCrypto.signingKey(own.signingSecret).publicKey).toEqual(own.credential.publicKey)
    const trust = createTrust({
      crypto: nodeCrypto,
      authorityKey: own.authorityKey,
      now: () => NOW,
    })
    expect(trust.check(own.credential.encoded).deviceId).toBe('fog-1')
    expect(readdirSync(join(folder, 'enrolled', 'fog-1')).toSorted()).toEqual([
      'authority.pub',
      'fog-1.cwt',
      'fog-1.key',
      'revoked.cose',
    ])
  })

  test('keys are 0600 and in the formats of other tools', () => {
    const paths = withKey(add('m-1'))
    expect(mode(paths.key)).toBe(0o600)
    expect(mode(join(folder, 'authority.key'))).toBe(0o600)
    expect(mode(join(folder, 'enrolments.jsonl'))).toBe(0o600)
    const own = createPrivateKey(readFileSync(paths.key, 'utf8'))
    expect(own.asymmetricKeyType).toBe('ed25519')
    const spki = createPublicKey(readFileSync(paths.authority, 'utf8')).export({ format: 'jwk' })
    expect(toBase64Url(loadIdentity(paths).authorityKey)).toBe(spki.x)
  })

  test('two devices get different keys and ids', () => {
    const [a, b] = ['m-1', 'm-2'].map((name) => loadIdentity(withKey(add(name))))
    expect(equal(a?.signingSecret ?? new Uint8Array(), b?.signingSecret ?? new Uint8Array())).toBe(
      false,
    )
    expect(toHex(a?.credential.id ?? new Uint8Array())).not.toBe(
      toHex(b?.credential.id ?? new Uint8Array()),
    )
  })

  test('a device may keep its key to itself', () => {
    const key = join(root, 'device.key')
    const publicKey = createKeyFile(key, (length) => new Uint8Array(length).fill(9))
    const paths = add('m-1', { publicKey, out: join(root, 'out') })
    expect(paths.key).toBeNull()
    expect(loadIdentity({ ...paths, key }).deviceId).toBe('m-1')
    const weak = new Uint8Array(32)
    expect(thrown(() => add('m-2', { publicKey: weak })).code).toBe('crypto/bad-public-key')
  })

  test('several devices may share one folder, even the authority’s own', () => {
    const paths = [add('m-1', { out: folder }), add('m-2', { out: folder })]
    for (const own of paths) expect(loadIdentity(withKey(own)).authorityKey.length).toBe(32)
    expect(revoke(folder, 'm-1', { nowS: NOW }).number).toBe(2)
  })

  test('nothing is ever overwritten', () => {
    expect(thrown(() => createAuthority(folder)).code).toBe('identity/exists')
    const paths = withKey(add('m-1'))
    const before = readFileSync(paths.key)
    expect(thrown(() => add('m-1')).code).toBe('identity/exists')
    expect(thrown(() => add('m-1', { out: join(root, 'b') })).code).toBe(
      'identity/already-enrolled',
    )
    const record = readFileSync(join(folder, 'enrolments.jsonl'), 'utf8')
    expect(thrown(() => add('m-1', { replace: true })).code).toBe('identity/exists')
    expect(readFileSync(paths.key)).toEqual(before)
    expect(readFileSync(join(folder, 'enrolments.jsonl'), 'utf8')).toBe(record)
  })

  test('replacing revokes what was there before', () => {
    const old = loadIdentity(withKey(add('m-1'))).credential
    const next = loadIdentity(withKey(add('m-1', { replace: true, out: join(root, 'new') })))
    const list = listIn(folder)
    expect(isRevoked(list, old)).toBe(true)
    expect(isRevoked(list, next.credential)).toBe(false)
    expect(listIn(join(root, 'new')).number).toBe(list.number)
  })

  test('a name is free again when its credential has ended', () => {
    add('m-1', { days: 1 })
    const later = { nowS: NOW + DAY, out: join(root, 'later') }
    expect(loadIdentity(withKey(add('m-1', later))).credential.notBeforeS).toBe(NOW + DAY - 3600)
  })

  test('the record tells who was enrolled when, in order', () => {
    const { credential } = loadIdentity(withKey(add('m-1', { group: 'north' })))
    enrol(folder, 'cloud', 'cloud-a', { nowS: NOW + 5 })
    const [first, second] = readEnrolments(folder)
    expect(first).toMatchObject({ deviceId: 'm-1', role: 'meter', group: 'north', timeS: NOW })
    expect(fromBase64Url(first?.credential ?? '')).toEqual(credential.encoded)
    expect(second).toMatchObject({ deviceId: 'cloud-a', role: 'cloud', timeS: NOW + 5 })
  })

  test.each([
    ['a bad name', () => add('../m'), 'identity/bad-name'],
    ['a bad group', () => add('m', { group: 'a b' }), 'identity/bad-name'],
    ['no days', () => add('m', { days: 0 }), 'identity/bad-validity'],
    ['half a day', () => add('m', { days: 0.5 }), 'identity/bad-validity'],
    ['no authority', () => enrol(join(root, 'none'), 'meter', 'm'), 'identity/missing'],
  ])('refuses %s, and leaves no file behind', (_name, action, code) => {
    const before = readFileSync(join(folder, 'enrolments.jsonl'), 'utf8')
    expect(thrown(action).code).toBe(code)
    expect(readFileSync(join(folder, 'enrolments.jsonl'), 'utf8')).toBe(before)
    expect(existsSync(join(folder, 'enrolled'))).toBe(false)
  })

  test('refuses a folder of another authority', () => {
    const other = join(root, 'other')
    createAuthority(other, { name: 'other' })
    expect(thrown(() => add('m-1', { out: other })).code).toBe('identity/other-authority')
    expect(readEnrolments(folder)).toEqual([])
  })

  test('a record with a torn last line says which, and stops', () => {
    add('m-1')
    const record = join(folder, 'enrolments.jsonl')
    writeFileSync(record, '{"type":"enrol', { flag: 'a' })
    const error = thrown(() => add('m-2'))
    expect(error.code).toBe('identity/damaged-record')
    expect(error.message).toContain(`${record}: line 3`)
  })
})

describe('loading', () => {
  test('refuses a key others can read, and says what to do', () => {
    const paths = withKey(add('m-1'))
    chmodSync(paths.key, 0o640)
    const error = thrown(() => loadIdentity(paths))
    expect(error.code).toBe('identity/permissions')
    expect(error.message).toContain(`chmod 600 ${paths.key}`)
    // systemd's credential folder guards its files itself
    const credentialsDirectory = join(folder, 'enrolled', 'm-1')
    expect(loadIdentity(paths, { credentialsDirectory }).deviceId).toBe('m-1')
    const beside = credentialsDirectory.slice(0, -1) // a prefix of the path, not a folder above it
    expect(thrown(() => loadIdentity(paths, { credentialsDirectory: beside })).code).toBe(
      'identity/permissions',
    )
  })

  test('a credential of systemd that nobody handed over is named, with what to do', () => {
    const paths = { ...withKey(add('m-1')), key: 'credential:meter.key' }
    expect(thrown(() => loadIdentity(paths))).toMatchObject({
      code: 'identity/missing',
      message: expect.stringContaining('LoadCredential=meter.key:FILE') as string,
    })
    // Who works on the store alone needs no key.
    expect(loadDeviceId(paths)).toBe('m-1')
  })

  test('refuses files that do not belong together', () => {
    const [a, b] = [withKey(add('m-1')), withKey(add('m-2'))]
    expect(thrown(() => loadIdentity({ ...a, key: b.key })).code).toBe('identity/mismatch')
    const other = createAuthority(join(root, 'other'))
    expect(thrown(() => loadIdentity({ ...a, authority: other.authority })).code).toBe(
      'identity/untrusted',
    )
    expect(thrown(() => loadIdentity({ ...a, credential: a.authority })).code).toBe(
      'identity/bad-credential',
    )
    expect(thrown(() => loadIdentity({ ...a, authority: a.key })).code).toBe('identity/bad-key')
    expect(thrown(() => loadIdentity({ ...a, authority: a.credential })).code).toBe(
      'identity/bad-key',
    )
  })

  test('names the file that is missing', () => {
    const paths = withKey(add('m-1'))
    for (const which of ['key', 'credential', 'authority'] as const) {
      const error = thrown(() => loadIdentity({ ...paths, [which]: join(root, 'nothing') }))
      expect(error.code).toBe('identity/missing')
      expect(error.message).toContain(join(root, 'nothing'))
    }
  })

  test('no error repeats what a key file holds', () => {
    const paths = withKey(add('m-1'))
    const pem = readFileSync(paths.key, 'utf8')
    const secret = pem.split('\n')[1] ?? ''
    expect(secret.length).toBe(64)
    const damaged = [pem.slice(0, -40), pem.replace('PRIVATE', 'SECRET'), secret, `${pem}${pem}x`]
    for (const text of [...damaged, pem]) {
      writeFileSync(paths.key, text)
      const trials = [
        thrown(() => loadIdentity(paths)),
        thrown(() => loadIdentity({ ...paths, authority: paths.key })),
        thrown(() => loadIdentity({ ...paths, credential: paths.key })),
      ]
      for (const error of trials) expect(everything(error)).not.toContain(secret.slice(20, 40))
    }
  })
})

/** An error with all its causes as text. */
function everything(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return `${error.stack} ${JSON.stringify(error)} ${everything(error.cause)}`
}

function listIn(where: string): RevocationList {
  const watch = watchIn(where)
  watch.close()
  return watch.current()
}

function authorityKey(): Uint8Array {
  const pem = readFileSync(join(folder, 'authority.pub'), 'utf8')
  return fromBase64Url(createPublicKey(pem).export({ format: 'jwk' }).x ?? '')
}

function watchIn(where: string, events: unknown[] = [], memory?: string) {
  return watchRevocations(join(where, 'revoked.cose'), {
    crypto: nodeCrypto,
    authorityKey: authorityKey(),
    pollMs: 60_000,
    ...(memory !== undefined && { memory: rememberRevocations(memory) }),
    onChange: (list) => events.push(list.number),
    onError: (error) => events.push(codeOf(error)),
  })
}

describe('revocation', () => {
  test('names every live credential of a device, once', () => {
    const { id } = loadIdentity(withKey(add('m-1'))).credential
    add('m-2')
    const result = revoke(folder, 'm-1', { nowS: NOW })
    expect(result).toEqual({ revocations: join(folder, 'revoked.cose'), number: 2, ids: [id] })
    expect(listIn(folder).ids).toEqual([id])
    expect(thrown(() => revoke(folder, 'm-1')).code).toBe('identity/already-revoked')
    expect(thrown(() => revoke(folder, 'm-3')).code).toBe('identity/not-enrolled')
  })

  test('keeps ids after their credentials have ended', () => {
    const { id } = loadIdentity(withKey(add('m-1', { days: 1 }))).credential
    revoke(folder, 'm-1', { nowS: NOW })
    add('m-2')
    revoke(folder, 'm-2', { nowS: NOW + 100 * DAY })
    expect(isRevoked(listIn(folder), { id })).toBe(true)
  })

  test('is seen by who follows the file', () => {
    const events: unknown[] = []
    add('m-1')
    const watch = watchIn(folder, events)
    watch.refresh()
    expect(events).toEqual([])
    revoke(folder, 'm-1', { nowS: NOW })
    expect(watch.current().number).toBe(1)
    watch.refresh()
    expect(events).toEqual([2])
    expect(watch.current().number).toBe(2)
    watch.close()
  })

  test('is seen by the poll alone', async () => {
    add('m-1')
    const seen = await new Promise<number>((resolve) => {
      const watch = watchRevocations(join(folder, 'revoked.cose'), {
        crypto: nodeCrypto,
        authorityKey: authorityKey(),
        pollMs: 5,
        onChange(list) {
          watch.close()
          resolve(list.number)
        },
      })
      revoke(folder, 'm-1', { nowS: NOW })
    })
    expect(seen).toBe(2)
  })

  test('cannot be taken back by an old file while the program is down', () => {
    const { id } = loadIdentity(withKey(add('m-1'))).credential
    const [path, memory] = [join(folder, 'revoked.cose'), join(root, 'seen.cose')]
    const old = readFileSync(path)
    revoke(folder, 'm-1', { nowS: NOW })
    const restart = (kept?: string) => {
      const events: unknown[] = []
      const watch = watchIn(folder, events, kept)
      watch.close()
      return { events, revoked: isRevoked(watch.current(), { id }) }
    }
    expect(restart(memory)).toEqual({ events: [], revoked: true })
    writeFileSync(path, old)
    expect(restart(memory)).toEqual({ events: ['identity/stale-revocations'], revoked: true })
    // It is the memory that does it.
    expect(restart()).toEqual({ events: [], revoked: false })
    const recall = (key: Uint8Array) =>
      recallRevocations(rememberRevocations(memory), nodeCrypto, key)?.number ?? null
    expect(recall(authorityKey())).toBe(2)
    expect(recall(nodeCrypto.signingKey(new Uint8Array(32)).publicKey)).toBe(null)
    writeFileSync(memory, 'damaged')
    expect(restart(memory)).toEqual({ events: [], revoked: false })
  })

  test('a full list refuses one more, and stays as it is', () => {
    add('m-1')
    const path = join(folder, 'revoked.cose')
    const pem = readFileSync(join(folder, 'authority.key'), 'utf8')
    const seed = fromBase64Url(createPrivateKey(pem).export({ format: 'jwk' }).d ?? '')
    const ids = Array.from({ length: 6_000 }, (_, index) => {
      const id = new Uint8Array(8)
      new DataView(id.buffer).setUint32(0, index)
      return id
    })
    const authority = nodeCrypto.signingKey(seed)
    writeFileSync(path, issueRevocations({ authority, number: 9, issuedS: NOW, ids }))
    const error = thrown(() => revoke(folder, 'm-1', { nowS: NOW }))
    expect(error.code).toBe('credential/list-full')
    expect(error.message).toContain('found a new authority')
    expect(listIn(folder)).toMatchObject({ number: 9 })
  })

  test('cannot be taken back by an old, damaged or missing file', () => {
    const events: unknown[] = []
    const { id } = loadIdentity(withKey(add('m-1'))).credential
    const path = join(folder, 'revoked.cose')
    const old = readFileSync(path)
    revoke(folder, 'm-1', { nowS: NOW })
    const watch = watchIn(folder, events)
    const damage = [
      () => writeFileSync(path, old),
      () => writeFileSync(path, 'x'),
      () => rmSync(path),
    ]
    for (const action of damage) {
      action()
      watch.refresh()
      expect(isRevoked(watch.current(), { id })).toBe(true)
    }
    expect(events).toEqual([
      'identity/stale-revocations',
      'credential/malformed',
      'identity/missing',
    ])
    watch.close()
  })

  test('a start without the list is refused: it would trust what the list revokes', () => {
    rmSync(join(folder, 'revoked.cose'))
    expect(thrown(() => watchIn(folder)).code).toBe('identity/missing')
  })

  test('a newer list from the network is taken and kept in the file', () => {
    const events: unknown[] = []
    const out = join(root, 'fog')
    add('m-1', { out })
    const watch = watchIn(out, events)
    const { id } = loadIdentity(withKey(enrol(folder, 'fog', 'f', { nowS: NOW }))).credential
    revoke(folder, 'f', { nowS: NOW })
    const newest = Uint8Array.from(readFileSync(join(folder, 'revoked.cose')))
    expect(watch.offer(newest)).toBe(true)
    expect(watch.offer(newest)).toBe(false)
    expect(isRevoked(watch.current(), { id })).toBe(true)
    expect(listIn(out).number).toBe(2)
    watch.refresh()
    expect(events).toEqual([2])
    const stranger = nodeCrypto.signingKey(new Uint8Array(32).fill(5))
    const forged = issueRevocations({ authority: stranger, number: 9, issuedS: NOW, ids: [] })
    expect(thrown(() => watch.offer(forged)).code).toBe('credential/untrusted')
    expect(watch.current().number).toBe(2)
    watch.close()
  })
})
