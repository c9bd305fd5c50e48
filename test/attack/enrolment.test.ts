/** Attacks on the door for new fog nodes, over HTTP, with the authority behind it. */
import { createServer, request as httpRequest, type ServerResponse } from 'node:http'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { fromBase64Url, toBase64Url } from '#bytes'
import { decode, encode, type CborValue } from '#cbor'
import { decodeCredential } from '#credential'
import { nodeCrypto } from '#crypto-node'
import { checkAnswer, encodeRequest, fingerprintOf } from '#enrolment'
import { readEnrolments } from '#identity'
import { openEnrolment } from '../../apps/cloud/enrolment.ts'
import { askCloud } from '../../apps/pi/ask.ts'
import { startTestApi, type TestApi } from '../support/cloud-http.ts'
import { keyOf, NOW_S, testDesk } from '../support/enrolment.ts'

const OPERATOR = 'the-token-of-the-operator'
const [pi, attacker, token, guessed] = [keyOf(1), keyOf(2), keyOf(3), keyOf(4)]

let bench: ReturnType<typeof testDesk>
let api: TestApi
let service: ReturnType<typeof openEnrolment>
const logged: object[] = []
beforeEach(async () => {
  logged.length = 0
  bench = testDesk()
  const tokenFile = join(bench.folder, 'api.token')
  writeFileSync(tokenFile, OPERATOR, { mode: 0o600 })
  const log = { info: () => undefined, warn: (data: object) => void logged.push(data) }
  const clouds = encodeRequest({ name: null, key: keyOf(9), token: keyOf(9) })
  bench.desk.approve({ id: keyOf(9).publicKey, name: 'cloud-x', replace: false })
  const answer = bench.desk.ask(clouds, '') as { credential: Uint8Array }
  const own = decodeCredential(answer.credential)
  service = openEnrolment({
    config: { enrolment: { authority: bench.authority } },
    identity: { deviceId: 'cloud-a', authorityKey: bench.authorityKey, credential: own },
    store: bench.store(),
    log,
    clock: bench.clock,
  })
  api = await startTestApi({ tokenFile, enrolment: service })
})
afterEach(async () => {
  await api.close()
  bench.close()
})

async function post(path: string, body: unknown, bearer?: string) {
  const response = await fetch(`${api.url}${path}`, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      ...(bearer !== undefined && { authorization: `Bearer ${bearer}` }),
    },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  })
  const answer = (await response.json()) as Record<string, string>
  return { ...answer, http: response.status } as Record<string, string | number>
}

const ask = (bytes: Uint8Array) => post('/api/v1/enrolments', { request: toBase64Url(bytes) })
const approve = (id: Uint8Array, name = 'FN-01', bearer: string | undefined = OPERATOR) =>
  post('/api/v1/enrolments/approvals', { id: toBase64Url(id), name }, bearer)
const request = (key = pi, by: typeof pi | null = token, name: string | null = 'FN-01') =>
  encodeRequest({ name, key, token: by })
const parts = (bytes: Uint8Array) => decode(bytes) as CborValue[]
const keysOf = (name: string) =>
  readEnrolments(bench.authority)
    .filter(({ deviceId }) => deviceId === name)
    .map(({ publicKey }) => publicKey)

describe('who may what', () => {
  test('asking needs no token of the API; approving, listing and handing in do', async () => {
    expect(await ask(request())).toMatchObject({ http: 403, code: 'enrolment/unknown-token' })
    for (const bearer of [undefined, 'the-token-of-somebody-else']) {
      expect(
        await post('/api/v1/enrolments/approvals', { id: 'AA', name: 'FN-01' }, bearer),
      ).toMatchObject({ http: 401 })
      expect(
        await post('/api/v1/enrolments/credentials', { credential: 'AA' }, bearer),
      ).toMatchObject({ http: 401 })
    }
    expect((await fetch(`${api.url}/api/v1/enrolments`)).status).toBe(401)
    expect((await fetch(`${api.url}/api/v1/fogs`)).status).toBe(401)
  })

  test('a cloud does not enrol without a token for its API', async () => {
    await expect(startTestApi({ enrolment: service })).rejects.toMatchObject({
      code: 'http/token-missing',
    })
  })

  test('a token the operator never registered opens nothing', async () => {
    await approve(token.publicKey)
    expect(await ask(request(pi, guessed))).toMatchObject({ code: 'enrolment/unknown-token' })
    expect(keysOf('FN-01')).toEqual([])
  })
})

describe('a listener who has seen everything', () => {
  test('replays a request: the same credential, for a key he does not have', async () => {
    await approve(token.publicKey)
    const answers = [await ask(request()), await ask(request()), await ask(request())]
    expect(new Set(answers.map(({ credential }) => credential)).size).toBe(1)
    const { publicKey } = decodeCredential(fromBase64Url(String(answers[0]?.['credential'])))
    expect(publicKey).toEqual(pi.publicKey)
    expect(keysOf('FN-01')).toHaveLength(1)
  })

  test('knows the public half of the token from its registration: it signs nothing', async () => {
    await approve(token.publicKey)
    const forged = { publicKey: token.publicKey, sign: (bytes: Uint8Array) => attacker.sign(bytes) }
    expect(await ask(request(attacker, forged))).toMatchObject({ code: 'enrolment/bad-proof' })
    expect(keysOf('FN-01')).toEqual([])
  })

  test('is first with a request of his own for a code: another key, another code', async () => {
    await approve(fingerprintOf(nodeCrypto, pi.publicKey))
    expect(await ask(request(attacker, null))).toMatchObject({ http: 202, for: 'approval' })
    expect(await ask(request(pi, null))).toMatchObject({ http: 200 })
    expect(keysOf('FN-01')).toEqual([toBase64Url(pi.publicKey)])
  })
})

describe('somebody in the middle', () => {
  test('puts his own key into the request: refused; the honest one goes through afterwards', async () => {
    await approve(token.publicKey)
    // He has the token's signature over (FN-01, key of the Pi), and signs for his own key.
    const seen = request()
    const [his] = parts(request(attacker, null))
    const [, proof] = parts(seen)
    const mixed = encode([his ?? null, proof ?? null])
    expect(await ask(mixed)).toMatchObject({ http: 403, code: 'enrolment/bad-proof' })
    expect(await ask(seen)).toMatchObject({ http: 200 })
  })

  test('answers with credentials of an authority of his own: the Pi takes none', async () => {
    const his = testDesk()
    his.desk.approve({ id: token.publicKey, name: 'FN-01', replace: false })
    const liar = createServer((_, to) => {
      const answer = his.desk.ask(request(), '') as { credential: Uint8Array }
      to.end(JSON.stringify({ status: 'enrolled', credential: toBase64Url(answer.credential) }))
    }).listen(0, '127.0.0.1')
    await once(liar, 'listening')
    const url = `http://127.0.0.1:${(liar.address() as AddressInfo).port}`
    const answer = (await askCloud({ url }, request())) as { credential: Uint8Array }
    const check = (authorityKey: Uint8Array) =>
      checkAnswer({
        crypto: nodeCrypto,
        authorityKey,
        name: 'FN-01',
        publicKey: pi.publicKey,
        encoded: answer.credential,
      })
    expect(() => check(bench.authorityKey)).toThrow('not signed by our authority')
    expect(check(his.authorityKey).deviceId).toBe('FN-01') // and it would have been a good one
    liar.close()
    his.close()
  })

  test.each([
    ['an endless answer', (to: ServerResponse) => void to.write('x'.repeat(100_000))],
    ['no JSON', (to: ServerResponse) => void to.end('<html>')],
    [
      'a redirect',
      (to: ServerResponse) => void to.writeHead(302, { location: 'http://127.0.0.1:1/' }).end(),
    ],
    [
      'a credential that is no base64url',
      (to: ServerResponse) => void to.end('{"credential":"=="}'),
    ],
    ['nothing, and closes', (to: ServerResponse) => void to.destroy()],
  ])('answers with %s: an error of ours', async (_, answer) => {
    const liar = createServer((_from, to) => answer(to)).listen(0, '127.0.0.1')
    await once(liar, 'listening')
    const url = `http://127.0.0.1:${(liar.address() as AddressInfo).port}`
    await expect(askCloud({ url }, request())).rejects.toMatchObject({
      code: expect.stringMatching(/^pi\/(unreachable|not-a-cloud)$/) as string,
    })
    liar.closeAllConnections()
    liar.close()
  })
})

describe('used, late, misnamed', () => {
  test('two keys with one token: the first has it, the second is refused and reported', async () => {
    await approve(token.publicKey)
    const both = await Promise.all([ask(request()), ask(request(attacker))])
    expect(both.map(({ http }) => Number(http)).toSorted((a, b) => a - b)).toEqual([200, 409])
    expect(keysOf('FN-01')).toHaveLength(1)
    const list = await fetch(`${api.url}/api/v1/enrolments`, {
      headers: { authorization: `Bearer ${OPERATOR}` },
    })
    expect(await list.json()).toMatchObject({
      refused: [{ reason: 'enrolment/token-used', name: 'FN-01', origin: '127.0.0.1' }],
    })
    expect(logged).toMatchObject([{ code: 'enrolment/token-used', name: 'FN-01' }])
  })

  test('a day late, or for another name: refused with what to do, and nothing is spent', async () => {
    await approve(token.publicKey)
    const wrong = await ask(request(pi, token, 'FN-02'))
    expect(wrong).toMatchObject({ http: 403, code: 'enrolment/wrong-name' })
    bench.clock.s = NOW_S + 86_399
    expect(bench.store().approval(token.publicKey)?.usedBy).toBeNull()
    bench.clock.s = NOW_S + 86_400
    const late = await ask(request())
    expect(late).toMatchObject({ http: 410, code: 'enrolment/expired' })
    for (const { message } of [wrong, late]) expect(message).toContain('pi prepare')
    expect(keysOf('FN-01')).toEqual([])
    expect(keysOf('FN-02')).toEqual([])
  })

  test('a key of small order, and one that is no point, get nothing', async () => {
    await approve(token.publicKey)
    for (const publicKey of [
      new Uint8Array(32),
      new Uint8Array(32).fill(255),
      Uint8Array.from({ length: 32 }, (_, i) => (i === 0 ? 1 : 0)),
    ]) {
      const bad = { publicKey, sign: () => new Uint8Array(64) }
      expect(await ask(request(bad))).toMatchObject({ code: 'enrolment/bad-proof' })
    }
  })
})

describe('floods', () => {
  test('more than 30 requests a minute from one address wait; the rest of the API does not', async () => {
    const statuses = new Map<number, number>()
    for (let i = 0; i < 40; i++) {
      const { http } = await ask(request(keyOf(100 + i), null))
      statuses.set(Number(http), (statuses.get(Number(http)) ?? 0) + 1)
    }
    expect(statuses).toEqual(
      new Map([
        [202, 30],
        [429, 10],
      ]),
    )
    expect(await approve(token.publicKey)).toMatchObject({ http: 200 })
  })

  test('strangers write nothing to the disk and fill no memory', () => {
    for (let i = 0; i < 500; i++) bench.desk.ask(request(keyOf(1_000 + i), null), '192.0.2.1')
    expect(bench.desk.waiting()).toHaveLength(64)
    expect(
      bench
        .store()
        .enrolments(1_000)
        .map(({ name }) => name),
    ).toEqual(['cloud-x'])
    // Pushed off the list, and claimed all the same: the code says which key.
    bench.desk.ask(request(pi, null), '192.0.2.9')
    for (let i = 0; i < 64; i++) bench.desk.ask(request(keyOf(2_000 + i), null), '192.0.2.1')
    expect(bench.desk.waiting().some(({ origin }) => origin === '192.0.2.9')).toBe(false)
    bench.desk.approve({
      id: fingerprintOf(nodeCrypto, pi.publicKey),
      name: 'FN-01',
      replace: false,
    })
    expect(bench.desk.ask(request(pi, null), '192.0.2.9').status).toBe('enrolled')
  })

  test('bodies that are large, misshapen or of another type are refused unread', async () => {
    expect(await post('/api/v1/enrolments', { request: 'A'.repeat(5_000) })).toMatchObject({
      http: 413,
    })
    for (const body of [
      '{',
      '[]',
      '{}',
      '{"request":5}',
      '{"request":"=="}',
      '{"request":"AA","x":1}',
    ])
      expect(await post('/api/v1/enrolments', body)).toMatchObject({ http: 400 })
    const plain = await new Promise<number>((resolve) => {
      const sent = httpRequest(
        `${api.url}/api/v1/enrolments`,
        { method: 'POST', headers: { 'content-type': 'text/plain' } },
        (answer) => resolve(answer.statusCode ?? 0),
      )
      sent.end('{"request":"AA"}')
    })
    expect(plain).toBe(400)
  })
})
