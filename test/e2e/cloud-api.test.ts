import { createHash } from 'node:crypto'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { connect } from 'node:net'
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Fastify from 'fastify'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { fromBase64Url } from '#bytes'
import { decodeCredential } from '#credential'
import { nodeCrypto } from '#crypto-node'
import { codeOf } from '#errors'
import { verifyRegister } from '#reading'
import { serverSentEvents } from '../../apps/cli/queries/server-sent-events.ts'
import { fill, quarter, startTestApi } from '../support/cloud-http.ts'
import type { TestApi } from '../support/cloud-http.ts'
import { codeThrown } from '../support/coded.ts'

interface Answer {
  status: number
  body: { items: Record<string, unknown>[]; next: string | null } & Record<string, unknown>
  headers: Headers
}

async function get(api: { url: string }, path: string, headers = {}): Promise<Answer> {
  const response = await fetch(`${api.url}${path}`, { headers })
  const body = (await response.json()) as Answer['body']
  return { status: response.status, body, headers: response.headers }
}

let api: TestApi
beforeAll(async () => {
  api = await startTestApi({ requestsPerMinute: 100_000 })
  fill(api)
})
afterAll(() => api.close())

describe('answers', () => {
  test('GET /summary is the prototype’s shape, with kW, V and distinct meters', async () => {
    const { status, body } = await get(api, '/summary')
    expect(status).toBe(200)
    expect(body).toEqual({
      total_packets: 5,
      avg_power_overall: 0.5,
      avg_voltage_overall: 230,
      latest_data: [
        { fog_id: 'fog-1', num_meters: 2, avg_power: 0.5, avg_voltage: null },
        { fog_id: 'fog-2', num_meters: 2, avg_power: 0.5, avg_voltage: 230 },
      ],
    })
    expect(Object.keys(body)).toEqual([
      'total_packets',
      'avg_power_overall',
      'avg_voltage_overall',
      'latest_data',
    ])
  })

  test('summaries in their latest revision, by fog and time, in pages', async () => {
    const all = await get(api, '/api/v1/summaries')
    expect(all.body.items.map((view) => [view['fog'], view['start'], view['revision']])).toEqual([
      ['fog-1', '2026-01-01T00:30:00Z', 0],
      ['fog-2', '2026-01-01T00:15:00Z', 0],
      ['fog-1', '2026-01-01T00:15:00Z', 1],
      ['fog-2', '2026-01-01T00:00:00Z', 0],
      ['fog-1', '2026-01-01T00:00:00Z', 0],
    ])
    const first = await get(api, '/api/v1/summaries?fog=fog-1&limit=2')
    expect(first.body.items).toHaveLength(2)
    const second = await get(api, `/api/v1/summaries?fog=fog-1&limit=2&cursor=${first.body.next}`)
    expect(second.body).toMatchObject({ next: null, items: [{ start: '2026-01-01T00:00:00Z' }] })
    // The clock of this test stands two hours after the first window.
    const recent = await get(api, '/api/v1/summaries?since=105m')
    expect(recent.body.items).toHaveLength(3)
    const early = await get(api, '/api/v1/summaries?until=2026-01-01T00:15:00Z')
    expect(early.body.items).toHaveLength(2)
  })

  test('fogs, meters, events and status', async () => {
    const fogs = await get(api, '/api/v1/fogs')
    expect(fogs.body.items).toMatchObject([
      { fog: 'fog-1', summaries: 3, meters: 1, status: { version: '0.1.0' } },
      { fog: 'fog-2', summaries: 2, status: null },
    ])
    const meters = await get(api, '/api/v1/meters?fog=fog-1')
    expect(meters.body.items).toMatchObject([
      { meter: 'kitchen', number: 30, importWh: 3, flags: ['import-back'] },
    ])
    const events = await get(api, '/api/v1/events?code=register-backwards')
    expect(events.body.items).toMatchObject([{ fog: 'fog-1', device: 'kitchen', source: 'cloud' }])
    const status = await get(api, '/api/v1/status')
    expect(status.body).toMatchObject({
      fogs: 2,
      meters: 2,
      summaries: 5,
      registers: 2,
      flagged: 1,
    })
  })

  test('a register can be verified by whoever downloads it, and not when it is changed', async () => {
    const { body } = await get(api, '/api/v1/registers?meter=kitchen')
    expect(body.items).toHaveLength(2)
    const { cose, credential } = body.items[1] as { cose: string; credential: string }
    const key = nodeCrypto.verifyKey(decodeCredential(fromBase64Url(credential)).publicKey)
    expect(verifyRegister(key, fromBase64Url(cose))).toMatchObject({
      deviceId: 'kitchen',
      last: 15,
    })
    const changed = fromBase64Url(cose)
    changed[40] = (changed[40] ?? 0) ^ 1
    expect(codeThrown(() => verifyRegister(key, changed))).not.toBe('nothing thrown')
    const flagged = await get(api, '/api/v1/registers?flagged=true')
    expect(flagged.body.items).toMatchObject([{ last: 30 }])
  })

  test('health follows the service; metrics are Prometheus text', async () => {
    expect(await get(api, '/healthz')).toMatchObject({ status: 200, body: { status: 'ok' } })
    api.health.problem = 'no connection to the broker'
    const failing = { status: 'failing', detail: 'no connection to the broker' }
    expect(await get(api, '/healthz')).toMatchObject({ status: 503, body: failing })
    api.health.problem = null
    const metrics = await fetch(`${api.url}/metrics`)
    expect(metrics.headers.get('content-type')).toContain('text/plain')
    expect(await metrics.text()).toContain('fogmeter_build_info{')
  })

  test('headers that browsers obey are set', async () => {
    const { headers } = await get(api, '/api/v1/status')
    expect(headers.get('content-security-policy')).toContain("default-src 'self'")
    expect(headers.get('x-content-type-options')).toBe('nosniff')
  })
})

describe('bad input', () => {
  const cases: [path: string, status: number, code: string][] = [
    ['/api/v1/summaries?limit=0', 400, 'http/bad-request'],
    ['/api/v1/summaries?limit=many', 400, 'http/bad-request'],
    ['/api/v1/summaries?limit=1001', 400, 'http/bad-request'],
    ['/api/v1/summaries?fog=..%2F..', 400, 'http/bad-request'],
    ["/api/v1/meters?meter=x'--", 400, 'http/bad-request'],
    ['/api/v1/summaries?fogg=fog-1', 400, 'http/bad-request'],
    ['/api/v1/summaries?since=yesterday', 400, 'query/bad-time'],
    ['/api/v1/summaries?since=1h&until=2h', 400, 'query/bad-period'],
    ['/api/v1/events?until=2026-02-31T99:00Z', 400, 'query/bad-time'],
    ['/api/v1/summaries?cursor=1', 400, 'query/bad-cursor'],
    ['/api/v1/registers?cursor=x', 400, 'query/bad-cursor'],
    ['/api/v1/summaries/stream?after=-1', 400, 'http/bad-request'],
    ['/api/v1/status?verbose=1', 400, 'http/bad-request'],
    ['/api/v1/summaries?fog=a&fog=b', 400, 'http/bad-request'],
    ['/api/v2/summaries', 404, 'http/not-found'],
    ['/%', 400, 'http/bad-request'],
  ]
  test.each(cases)('%s → %i %s', async (path, status, code) => {
    const answer = await get(api, path)
    expect(answer).toMatchObject({ status, body: { code } })
    expect(Object.keys(answer.body).toSorted()).toEqual(['code', 'message'])
  })

  test('writing is not offered', async () => {
    const response = await fetch(`${api.url}/api/v1/summaries`, { method: 'POST', body: '{}' })
    expect(response.status).toBeGreaterThanOrEqual(404)
    expect(await response.json()).toMatchObject({ code: expect.stringMatching(/^http\//) })
  })
})

describe('the OpenAPI document', () => {
  test('is 3.1, names every path, and every answer fits its schema', async () => {
    const { body: document } = await get(api, '/api/v1/openapi.json')
    expect(document['openapi']).toBe('3.1.0')
    const paths = document['paths'] as Record<string, { get: Operation }>
    expect(Object.keys(paths).toSorted()).toEqual([
      '/api/v1/events',
      '/api/v1/fogs',
      '/api/v1/gaps',
      '/api/v1/meters',
      '/api/v1/registers',
      '/api/v1/status',
      '/api/v1/summaries',
      '/api/v1/summaries/stream',
      '/healthz',
      '/summary',
    ])
    const validate = await validator(document)
    const verdicts: [path: string, answer: unknown, spoilt: boolean][] = []
    for (const [path, { get: operation }] of Object.entries(paths)) {
      if (path.endsWith('/stream')) continue
      const schema = operation.responses['200']?.content['application/json']?.schema
      const { body } = await get(api, path)
      // The check itself works when the same answer with a stranger in it does not fit.
      const spoilt = validate(schema, { ...body, stranger: 1 }) !== null
      verdicts.push([path, validate(schema, body), spoilt])
    }
    expect(verdicts).toEqual(verdicts.map(([path]) => [path, null, true]))
    const { body: refused } = await get(api, '/api/v1/summaries?limit=0')
    const schema = paths['/api/v1/summaries']?.get.responses['4XX']?.content['application/json']
    expect(validate(schema?.schema, refused)).toBeNull()
  })
})

interface Operation {
  responses: Record<string, { content: Record<string, { schema: object }> }>
}

/** Judges values by the document's schemas with the validator that Fastify brings; null: it fits. */
async function validator(
  document: object,
): Promise<(schema: object | undefined, value: unknown) => unknown> {
  const judge = Fastify({
    ajv: { customOptions: { coerceTypes: false, removeAdditional: false, useDefaults: false } },
  })
  const { components } = document as { components: object }
  judge.addSchema({ $id: 'document', definitions: absolute(components) })
  const waiting: ((value: (schema: object, value: unknown) => unknown) => void)[] = []
  judge.get('/', (req) => {
    for (const ready of waiting)
      ready((schema, value) => {
        const check = req.compileValidationSchema(absolute(schema))
        return check(value) ? null : check.errors
      })
    return 'ok'
  })
  const ready = new Promise<(schema: object, value: unknown) => unknown>((resolve) =>
    waiting.push(resolve),
  )
  await judge.inject('/')
  const check = await ready
  return (schema, value) => (schema ? check(schema, value) : 'no schema')
}

/** References inside the document, seen from outside it. */
function absolute(schema: object): object {
  return JSON.parse(
    JSON.stringify(schema).replaceAll('"#/components/', '"document#/definitions/'),
  ) as object
}

const watch = async (path: string, headers = {}) => {
  const abort = new AbortController()
  const response = await fetch(`${api.url}${path}`, { signal: abort.signal, headers })
  expect(response.headers.get('content-type')).toBe('text/event-stream')
  const events = serverSentEvents(response)
  const next = async () => {
    const { value } = await events.next()
    return JSON.parse(value?.data ?? 'null') as { id: number; fog: string; revision: number }
  }
  return { next, stop: () => abort.abort() }
}

describe('the stream', () => {
  test('sees what is stored from now on, each once, in order', async () => {
    const stream = await watch('/api/v1/summaries/stream')
    api.deliver('fog-2', 4, quarter(20), quarter(21))
    api.deliver('fog-2', 6, quarter(20, { revision: 1 }))
    const seen = [await stream.next(), await stream.next(), await stream.next()]
    expect(seen.map((view) => view.revision)).toEqual([0, 0, 1])
    stream.stop()
    const again = await watch('/api/v1/summaries/stream', {
      'last-event-id': String(seen[0]?.id),
    })
    expect(await again.next()).toEqual(seen[1])
    expect(await again.next()).toEqual(seen[2])
    again.stop()
  })

  test('from the beginning, of one fog', async () => {
    const stream = await watch('/api/v1/summaries/stream?after=0&fog=fog-2')
    expect(await stream.next()).toMatchObject({ fog: 'fog-2', start: '2026-01-01T00:00:00Z' })
    stream.stop()
  })

  test('ends when the service stops, so that stopping does not wait for readers', async () => {
    const other = await startTestApi()
    const response = await fetch(`${other.url}/api/v1/summaries/stream`)
    const reading = response.text().catch(() => 'cut')
    await other.close()
    expect(await reading).toMatch(/^(retry: 2000\n\n|cut)$/)
  })
})

describe('who may ask', () => {
  const open: (() => unknown)[] = []
  afterEach(async () => {
    for (const close of open.splice(0)) await close()
  })
  const start = async (options: Parameters<typeof startTestApi>[0]): Promise<TestApi> => {
    const started = await startTestApi(options)
    open.push(() => started.close())
    return started
  }
  const tokenFile = (content: string, mode = 0o600): string => {
    const folder = mkdtempSync(join(tmpdir(), 'fogmeter-token-'))
    open.push(() => rmSync(folder, { recursive: true }))
    const path = join(folder, 'api.token')
    writeFileSync(path, content)
    chmodSync(path, mode)
    return path
  }
  const failure = async (options: Parameters<typeof startTestApi>[0]): Promise<string> => {
    try {
      await start(options)
    } catch (error) {
      return `${codeOf(error)}: ${error instanceof Error ? error.message : ''}`
    }
    return 'started'
  }
  const secret = 'a-token-nobody-can-guess-8d1f'

  test('another address than loopback needs a token, and the error says so', async () => {
    const message = await failure({ listen: { host: '0.0.0.0', port: 0 } })
    expect(message).toMatch(/^http\/token-missing: .*0\.0\.0\.0:0.*http\.token_file/)
    expect(await failure({ listen: { host: '::', port: 0 } })).toContain('http/token-missing')
    const token = tokenFile(secret)
    const guarded = await start({ listen: { host: '0.0.0.0', port: 0 }, tokenFile: token })
    const port = new URL(guarded.url).port
    const local = { url: `http://127.0.0.1:${port}` }
    expect(await get(local, '/api/v1/status')).toMatchObject({ status: 401 })
    const headers = { authorization: `Bearer ${secret}` }
    expect(await get(local, '/api/v1/status', headers)).toMatchObject({ status: 200 })
  })

  const hashed = `sha256:${createHash('sha256').update(secret).digest('hex')}`
  test.each([
    ['as itself', `${secret}\n`],
    ['as its hash', hashed],
  ])('the token %s opens everything but nothing else does', async (_name, content) => {
    const guarded = await start({ tokenFile: tokenFile(content) })
    const wrong = [undefined, `Bearer ${secret}x`, `Bearer ${hashed}`, 'Bearer ', `Basic ${secret}`]
    for (const path of [
      '/summary',
      '/api/v1/fogs',
      '/metrics',
      '/api/v1/openapi.json',
      '/nowhere',
    ]) {
      for (const authorization of wrong) {
        const answer = await get(guarded, path, authorization ? { authorization } : {})
        expect(answer).toMatchObject({ status: 401, body: { code: 'http/unauthorized' } })
        expect(JSON.stringify(answer.body)).not.toContain(secret)
      }
    }
    const right = { authorization: `Bearer ${secret}` }
    expect(await get(guarded, '/summary', right)).toMatchObject({ status: 200 })
    expect(await get(guarded, '/healthz')).toMatchObject({ status: 200 })
    const lower = { authorization: `bearer ${secret}` }
    expect(await get(guarded, '/summary', lower)).toMatchObject({ status: 200 })
    const { body } = await get(guarded, '/api/v1/openapi.json', right)
    expect(body['security']).toEqual([{ bearer: [] }])
  })

  test('a token file that others can read, that is short, or that is missing', async () => {
    expect(await failure({ tokenFile: tokenFile(secret, 0o644) })).toMatch(
      /^http\/token-permissions: .*chmod 600/,
    )
    const weak = await failure({ tokenFile: tokenFile('hunter2') })
    expect(weak).toMatch(/^http\/token-weak: /)
    expect(weak).not.toContain('hunter2')
    expect(await failure({ tokenFile: '/nonexistent/token' })).toContain('http/token-unreadable')
  })

  test('without a token a foreign Host name is turned away: no DNS rebinding', async () => {
    const { port } = new URL(api.url)
    const ask = (host: string): Promise<number | undefined> =>
      new Promise((resolve, reject) => {
        request({ port, host: '127.0.0.1', path: '/summary', headers: { host } }, (response) => {
          response.resume()
          resolve(response.statusCode)
        })
          .on('error', reject)
          .end()
      })
    expect(await ask(`evil.example:${port}`)).toBe(403)
    expect(await ask(`localhost.evil.example:${port}`)).toBe(403)
    expect(await ask(`localhost:${port}`)).toBe(200)
    expect(await ask(`[::1]:${port}`)).toBe(200)
  })

  test('too many requests are held off, wrong tokens too; health is always told', async () => {
    const guarded = await start({ tokenFile: tokenFile(secret), requestsPerMinute: 5 })
    const codes: unknown[] = []
    for (let i = 0; i < 7; i++) {
      const path = i % 2 === 0 ? '/summary' : '/nowhere'
      codes.push((await get(guarded, path)).body['code'])
    }
    expect(codes).toEqual([
      ...Array.from({ length: 5 }, () => 'http/unauthorized'),
      'http/rate-limited',
      'http/rate-limited',
    ])
    const limited = await get(guarded, '/summary', { authorization: `Bearer ${secret}` })
    expect(limited.status).toBe(429)
    expect(Number(limited.headers.get('retry-after'))).toBeGreaterThan(0)
    expect(await get(guarded, '/healthz')).toMatchObject({ status: 200 })
  })

  test('a port in use is named', async () => {
    const port = Number(new URL(api.url).port)
    expect(await failure({ listen: { host: '127.0.0.1', port } })).toMatch(
      /^http\/cannot-listen: .*another program/,
    )
  })
})

/** What comes back until the other side ends. */
async function sent(port: number, bytes: string): Promise<string> {
  const socket = connect(port, '127.0.0.1')
  let answer = ''
  socket.on('data', (data) => (answer += data.toString()))
  socket.on('error', () => {}) // a reset is an end too
  socket.write(bytes)
  await new Promise((resolve) => socket.on('close', resolve))
  return answer
}

describe('who takes and does not give', () => {
  const get1 = 'GET /summary HTTP/1.1\r\nHost: 127.0.0.1\r\n'
  const guarded: TestApi[] = []
  afterEach(() => Promise.all(guarded.splice(0).map((one) => one.close())))

  async function start(options: Parameters<typeof startTestApi>[0]): Promise<number> {
    const one = await startTestApi(options)
    guarded.push(one)
    return Number(new URL(one.url).port)
  }

  test.each([
    ['nothing', '', /^HTTP\/1.1 408 .*"code":"http\/request-timeout"/s],
    ['half of its headers', get1, /^HTTP\/1.1 408 .*"code":"http\/request-timeout"/s],
    ['half of a body', `${get1}Content-Length: 900\r\n\r\nx`, /^HTTP\/1.1 200 .* 408 /s],
    ['half of a body nobody reads', `POST${get1.slice(3)}Content-Length: 9\r\n\r\nx`, / 408 /],
  ])('%s: the connection ends', async (_what, bytes, answer) => {
    expect(await sent(await start({ requestTimeoutMs: 50 }), bytes)).toMatch(answer)
  })

  test.each([
    ['what is no request', 'EHLO you\r\n\r\n', 'http/bad-request'],
    ['an endless address', `GET /${'a'.repeat(40_000)}`, 'http/request-header-fields-too-large'],
  ])('%s is answered in the form of all errors', async (_what, bytes, code) => {
    const answer = await sent(await start({}), bytes)
    const body: unknown = JSON.parse(answer.split('\r\n\r\n')[1] ?? '')
    expect(body).toEqual({ code, message: expect.any(String) as string })
  })

  test('connections above the limit are closed; the others, and later ones, are served', async () => {
    const port = await start({ connections: 2 })
    const idle = [connect(port, '127.0.0.1'), connect(port, '127.0.0.1')]
    await Promise.all(idle.map((socket) => once(socket, 'connect')))
    expect(await sent(port, `${get1}\r\n`)).toBe('')
    for (const socket of idle) socket.destroy()
    let answer = ''
    while (answer === '') answer = await sent(port, `${get1}Connection: close\r\n\r\n`)
    expect(answer).toMatch(/^HTTP\/1.1 200 /)
  })
})
