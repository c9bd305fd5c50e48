import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { columnWidths, renderTable } from '../../apps/cli/queries/table.ts'
import type { Column } from '../../apps/cli/queries/table.ts'
import { printable } from '../../apps/cli/printable.ts'
import { duration, jsonLine, lag } from '../../apps/cli/queries/text.ts'
import { fill, quarter, startTestApi } from '../support/cloud-http.ts'
import type { TestApi } from '../support/cloud-http.ts'
import { credentialItem, device, fogStatus, register } from '../support/cloud.ts'

const main = fileURLToPath(new URL('../../apps/cli/main.ts', import.meta.url))
const secret = 'a-token-nobody-can-guess-8d1f'

let api: TestApi
let guarded: TestApi
let tokenFile = ''
beforeAll(async () => {
  api = await startTestApi({ requestsPerMinute: 100_000 })
  fill(api)
  tokenFile = join(api.folder, 'api.token')
  writeFileSync(tokenFile, `${secret}\n`, { mode: 0o600 })
  guarded = await startTestApi({ tokenFile })
})
afterAll(async () => {
  await api.close()
  await guarded.close()
})

interface Outcome {
  code: number | null
  out: string
  err: string
}

/** Runs the real command line in a process of its own. */
function fogmeter(args: readonly string[], env: Record<string, string> = {}): Promise<Outcome> {
  const { FOGMETER_URL: _1, FOGMETER_TOKEN_FILE: _2, FORCE_COLOR: _3, ...inherited } = process.env
  const child = spawn(process.execPath, [main, ...args], { env: { ...inherited, ...env } })
  const outcome: Outcome = { code: null, out: '', err: '' }
  child.stdout.on('data', (data: Buffer) => (outcome.out += data.toString()))
  child.stderr.on('data', (data: Buffer) => (outcome.err += data.toString()))
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code) => resolve({ ...outcome, code }))
  })
}

const ask = (...args: string[]): Promise<Outcome> => fogmeter([...args, '--url', api.url])

describe('over HTTP', () => {
  test('summary list: a table on stdout that fits 100 columns', async () => {
    const { code, out, err } = await ask('summary', 'list')
    expect({ code, err }).toEqual({ code: 0, err: '' })
    const lines = out.trimEnd().split('\n')
    expect(lines).toHaveLength(6)
    expect(lines[0]).toMatch(/^START \(UTC\) +LENGTH +FOG +REV +METERS/)
    expect(lines[1]).toMatch(/^2026-01-01 00:30:00 +15m +fog-1 +0 +2 +30 +0\.500 +– +0\.125$/)
    for (const line of lines) expect(line.length).toBeLessThanOrEqual(100)
    expect(out).not.toContain('\u001b')
  })

  test('--json is one document, --jsonl one object a line, with the API’s own fields', async () => {
    const { items } = (await (await fetch(`${api.url}/api/v1/summaries`)).json()) as {
      items: unknown[]
    }
    const json = await ask('summary', 'list', '--json')
    expect(JSON.parse(json.out)).toEqual({ items, next: null })
    const jsonl = await ask('summary', 'list', '--jsonl')
    expect(
      jsonl.out
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line) as unknown),
    ).toEqual(items)
  })

  test('filters, and a word when there is more', async () => {
    const some = await ask('summary', 'list', '--fog', 'fog-1', '--limit', '1', '--json')
    const { items, next } = JSON.parse(some.out) as { items: unknown[]; next: string | null }
    expect(items).toMatchObject([{ fog: 'fog-1' }])
    expect(next).toMatch(/\d/)
    expect(some.err).toContain('raise --limit')
    const early = await ask('summary', 'list', '--until', '2026-01-01T00:15:00Z', '--json')
    expect(JSON.parse(early.out)).toMatchObject({ items: [{ fog: 'fog-2' }, { fog: 'fog-1' }] })
  })

  test('fog list, meter list and status', async () => {
    const fogs = await ask('fog', 'list')
    expect(fogs.out).toMatch(/^FOG .*REFUSED\nfog-1 .* 2\nfog-2 .* 0\n/)
    expect(fogs.out).toMatch(/\nfog-1 refused from its meters since it started: 2 bad-signature\n$/)
    const meters = await ask('meter', 'list', '--fog', 'fog-1')
    expect(meters.out).toMatch(/kitchen +fog-1 +30 +0\.003 .*import-back/)
    const status = await ask('status')
    expect(status.out).toMatch(/fog nodes +2\n/)
    expect(status.out).toMatch(/refused +2 bad-signature by fog nodes, 0 items by the cloud\n/)
    expect(status.out).toMatch(/registers +2 signed, 1 flagged/)
    expect(JSON.parse((await ask('status', '--json')).out)).toMatchObject({
      fogs: 2,
      meters: 2,
      refused: 0,
      refusedByFogs: { 'bad-signature': 2, early: 1 },
    })
  })

  test('meter gaps: what is missing, with the energy across it, and whether a window has it', async () => {
    const { code, out } = await ask('meter', 'gaps', 'kitchen')
    expect(code).toBe(0)
    expect(out).toMatch(/^METER +FOG +WHAT +NUMBERS +FROM \(UTC\) +LENGTH +IMPORT kWh +IN WINDOWS/)
    expect(out).toMatch(/kitchen +fog-1 +silence +30–31 +2026-01-01 00:15:00 +2h +0\.042 +yes\n/)
    expect(out).toMatch(/kitchen +fog-1 +missing +16–20 +2026-01-01 00:15:00 +6m +0\.042 +no\n$/)
    for (const line of out.split('\n')) expect(line.length).toBeLessThanOrEqual(100)
    const lines = (await ask('meter', 'gaps', '--kind', 'missing', '--jsonl')).out
    expect(JSON.parse(lines)).toMatchObject({ kind: 'missing', counted: false, importWh: 42 })
    const stored = await fogmeter(['meter', 'gaps', '--store', api.storePath, '--json'])
    expect(JSON.parse(stored.out)).toEqual(JSON.parse((await ask('meter', 'gaps', '--json')).out))
  })

  test('meter gaps: nothing to tell is 0, a meter nobody knows 3, no such kind 2', async () => {
    const none = await ask('meter', 'gaps', 'cellar')
    expect(none).toMatchObject({
      code: 0,
      out: '',
      err: 'nothing is missing, estimated or left out\n',
    })
    expect(await ask('meter', 'gaps', 'attic')).toMatchObject({ code: 3 })
    expect(await ask('meter', 'gaps', '--kind', 'odd')).toMatchObject({ code: 2 })
    expect(await ask('meter', 'gaps', 'no name')).toMatchObject({ code: 2 })
  })

  test('FOGMETER_URL stands in for --url, and NO_COLOR is honoured over FORCE_COLOR', async () => {
    const env = { FOGMETER_URL: api.url, FORCE_COLOR: '1' }
    expect((await fogmeter(['status'], env)).out).toContain('\u001b[1m')
    const plain = await fogmeter(['status'], { ...env, NO_COLOR: '1' })
    expect(plain).toMatchObject({ code: 0 })
    expect(plain.out).not.toContain('\u001b')
  })
})

/** The lag depends on the clock, and the service of this test has one of its own. */
function still(items: object[]): object[] {
  return items.map((item) => ({ ...item, lagSeconds: 0 }))
}

describe('from the store itself', () => {
  test('fog status: version, clock, power, card; a name nobody knows is not found', async () => {
    const own = await startTestApi()
    const machine = {
      clockSet: false,
      uptimeS: 43_200,
      temperatureDc: 483,
      throttled: 0x5_0001,
      writtenBytes: 100_000_000,
      diskBytes: 32_000_000_000,
    }
    own.deliver('fog-1', 1, { type: 'fogStatus', status: { ...fogStatus, machine } }, quarter(0))
    own.deliver('fog-2', 1, { type: 'fogStatus', status: fogStatus })
    const status = (...args: string[]) => fogmeter(['fog', 'status', ...args, '--url', own.url])
    const { code, out, err } = await status('fog-1')
    expect({ code, err }).toEqual({ code: 0, err: '' })
    for (const words of [
      /^version +0\.1\.0, running for 5s$/m,
      /^clock +not set since it started$/m,
      /^temperature +48\.3 °C$/m,
      /^power +now: low voltage$/m,
      /^card +32 GB, writes 200\.0 MB a day of 2191\.8 MB for ten years; lasts more than 20 years at that$/m,
      /^last summary +of 2/m,
    ])
      expect(out).toMatch(words)
    const json = JSON.parse((await status('fog-1', '--json')).out) as object
    expect(json).toMatchObject({ fog: 'fog-1', status: { machine }, wear: { lifeDays: 40_000 } })
    expect((await status('fog-2')).out).not.toContain('card')
    expect(await status('fog-9')).toMatchObject({ code: 3, out: '' })
    await own.close()
  }, 60_000)

  test.each([['summary'], ['fog'], ['meter']])(
    '%s list says the same as over HTTP',
    async (noun) => {
      const over = JSON.parse((await ask(noun, 'list', '--json')).out) as { items: object[] }
      const args = [noun, 'list', '--json', '--store', api.storePath]
      const direct = JSON.parse((await fogmeter(args)).out) as { items: object[] }
      expect(still(direct.items)).toEqual(still(over.items))
      expect(direct.items.length).toBeGreaterThan(1)
    },
  )

  test('a file that is not there', async () => {
    const { code, out, err } = await fogmeter(['status', '--store', '/nonexistent/cloud.db'])
    expect({ code, out }).toEqual({ code: 3, out: '' })
    expect(err).toContain('store.path')
  })
})

describe('summary watch', () => {
  test('prints what is stored after --after, and stops at --limit', async () => {
    const args = ['--after', '0', '--limit', '3', '--jsonl', '--fog', 'fog-1']
    const { code, out, err } = await ask('summary', 'watch', ...args)
    expect(code).toBe(0)
    expect(err).toMatch(/^waiting for fog node fog-1 to close its next window and send it; Ctrl-C/)
    const ids = out
      .trimEnd()
      .split('\n')
      .map((line) => (JSON.parse(line) as { id: number }).id)
    expect(ids).toEqual([1, 2, 3])
  })

  // Numbers 1 to 3 of fog-2 came with the fixture.
  let number = 3
  test.each([
    ['over HTTP', () => ['--url', api.url]],
    ['from the store', () => ['--store', api.storePath]],
  ])('%s it sees new ones come, and Ctrl-C ends it with 0', async (_name, where) => {
    const child = spawn(process.execPath, [main, 'summary', 'watch', ...where()])
    let text = ''
    const shown = new Promise<void>((resolve) => {
      child.stdout.on('data', (data: Buffer) => {
        text += data.toString()
        if (text.includes('fog-2')) resolve()
      })
    })
    // What it waits for is said before the first question is out, so one delivery might be too early.
    const [said] = (await once(child.stderr, 'data')) as [Buffer]
    expect(said.toString()).toMatch(/^waiting for a fog node to close its next window.*--after 0/)
    const delivering = setInterval(() => {
      number += 1
      api.deliver('fog-2', number, quarter(50 + number))
    }, 100)
    await shown
    clearInterval(delivering)
    expect(text).toMatch(/^START \(UTC\).*\n2026-01-01 \d\d:\d\d:00/)
    child.kill('SIGINT')
    expect(await once(child, 'exit')).toEqual([0, null])
  })
})

describe('when there is no answer', () => {
  test('nothing listens: what to do, exit code 1', async () => {
    const free = createServer()
    await new Promise<void>((resolve) => free.listen(0, '127.0.0.1', resolve))
    const { port } = free.address() as AddressInfo
    await new Promise((resolve) => free.close(resolve))
    for (const args of [['status'], ['summary', 'watch'], ['fog', 'list', '--json']]) {
      const { code, out, err } = await fogmeter([...args, '--url', `http://127.0.0.1:${port}`])
      expect({ code, out }).toEqual({ code: 1, out: '' })
      expect(err).toMatch(/ECONNREFUSED.*is the cloud running\?.*--url.*--store/)
      expect(err).not.toContain('    at ')
    }
  })

  test('a token is wanted: how to give it; the token itself never shows', async () => {
    const without = await fogmeter(['status', '--url', guarded.url])
    expect(without).toMatchObject({ code: 1, out: '' })
    expect(without.err).toContain('--token-file')
    const flag = await fogmeter(['status', '--url', guarded.url, '--token-file', tokenFile])
    expect(flag.code).toBe(0)
    const env = { FOGMETER_TOKEN_FILE: tokenFile, FOGMETER_URL: guarded.url }
    const viaEnv = await fogmeter(['status', '--json'], env)
    expect(viaEnv.code).toBe(0)
    const missing = await fogmeter(['status', '--url', guarded.url, '--token-file', '/nonexistent'])
    expect(missing.code).toBe(3)
    for (const { out, err } of [without, flag, viaEnv, missing])
      expect(out + err).not.toContain(secret)
  })

  test('nothing stored yet: exit code 0, and what to do next on stderr', async () => {
    const env = { FOGMETER_URL: guarded.url, FOGMETER_TOKEN_FILE: tokenFile }
    for (const noun of ['summary', 'fog', 'meter']) {
      const { code, out, err } = await fogmeter([noun, 'list'], env)
      expect({ code, out }).toEqual({ code: 0, out: '' })
      expect(err.length).toBeGreaterThan(40)
    }
    expect(await fogmeter(['fog', 'list', '--json'], env)).toMatchObject({
      out: '{"items":[],"next":null}\n',
    })
  })

  const wrong: [args: string[], code: number, message: RegExp][] = [
    [['summary', 'list', '--fog', 'nobody'], 3, /no fog node "nobody"/],
    [['meter', 'list', '--fog', 'nobody', '--json'], 3, /fogmeter fog list/],
    [['summary', 'list', '--fog', '../etc'], 2, /--fog/],
    [['summary', 'list', '--since', 'yesterday'], 2, /30m, 1h, 7d/],
    [
      ['summary', 'list', '--since', '2026-01-02', '--until', '2026-01-01'],
      2,
      /since 2026-01-02 \(2026-01-02T00:00:00Z\) is later than until 2026-01-01 \(2026-01-01T/,
    ],
    [['meter', 'list', '--since', '1h', '--until', '2h', '--json'], 2, /since 1h .* until 2h/],
    [['summary', 'list', '--since', ''], 2, /30m, 1h, 7d/],
    [['meter', 'gaps', '--since', '1h', '--until', '1d'], 2, /since 1h .* until 1d/],
    [['summary', 'list', '--limit', '0'], 2, /--limit 0/],
    [['summary', 'watch', '--after', 'x'], 2, /--after x/],
    [['status', '--url', 'ftp://nowhere'], 2, /http:\/\/HOST:PORT/],
    [['summary', 'list', '--sinse', '1h'], 2, /unknown option/],
    [['summary', 'delete'], 2, /unknown command|too many arguments|Usage/],
  ]
  test.each(wrong)('%j → %i', async (args, code, message) => {
    const outcome = await fogmeter(args, { FOGMETER_URL: api.url })
    expect(outcome).toMatchObject({ code, out: '' })
    expect(outcome.err).toMatch(message)
  })

  test('times in order, or the same, are asked for', async () => {
    for (const until of ['1h', '2h']) {
      const args = ['summary', 'list', '--since', '2h', '--until', until, '--json']
      expect(await ask(...args)).toMatchObject({ code: 0 })
    }
  })

  test('the same words for a wrong time from the store', async () => {
    const args = ['summary', 'list', '--since', 'yesterday', '--store', api.storePath]
    const { code, err } = await fogmeter(args)
    expect(code).toBe(2)
    expect(err).toContain('30m, 1h, 7d')
  })
})

describe('text for terminals', () => {
  test('control characters and reordering marks appear as escapes', () => {
    const hostile = 'a\u001b[31mred\u0007\u009b2J\u202egnp\u2028\u007f\r\n'
    expect(printable(hostile)).toBe(
      'a\\u001b[31mred\\u0007\\u009b2J\\u202egnp\\u2028\\u007f\\u000d\\u000a',
    )
    expect(printable('Küche – 21 °C ✓')).toBe('Küche – 21 °C ✓')
  })

  test('JSON lines stay JSON', () => {
    const value = { detail: 'x\u009b2J\u202e\u001b\n"\\', n: 1 }
    const line = jsonLine(value)
    expect(JSON.parse(line)).toEqual(value)
    expect(printable(line)).toBe(line)
  })

  const columns: readonly Column<string>[] = [
    { title: 'NAME', text: (row) => row, flexible: true },
    { title: 'LENGTH', text: (row) => String(row.length), align: 'right' },
    { title: 'AGAIN', text: (row) => row, flexible: true },
  ]

  test('a table is cut to 100 columns where it may be, and cells cannot break out', () => {
    const rows = ['x'.repeat(90), `fine\u001b[2J\n`]
    expect(columnWidths(columns, rows).reduce((sum, width) => sum + width + 2, -2)).toBe(100)
    const table = renderTable(columns, rows)
    expect(table).toContain('…')
    expect(table.split('\n')).toHaveLength(3)
    for (const line of table.split('\n')) expect(line.length).toBeLessThanOrEqual(100)
    expect(table).toContain('fine\\u001b[2J\\u000a')
  })

  test('names of full length still fit', async () => {
    const long = 'a'.repeat(32)
    const meter = device('meter', `${long.slice(1)}m`)
    api.deliver(`${long.slice(1)}f`, 1, credentialItem(meter), register(meter, 15), quarter(90))
    for (const noun of ['summary', 'fog', 'meter']) {
      const { out } = await ask(noun, 'list')
      for (const line of out.split('\n')) expect(line.length).toBeLessThanOrEqual(100)
    }
  })

  const durations: [seconds: number | null, text: string][] = [
    [null, '–'],
    [0, '0s'],
    [59, '59s'],
    [60, '1m'],
    [90, '1m30s'],
    [3_600, '1h'],
    [12_000, '3h20m'],
    [187_200, '2d4h'],
  ]
  test.each(durations)('%s seconds → %s', (seconds, text) => expect(duration(seconds)).toBe(text))

  test('a newest window before and after this moment', () => {
    expect([null, 90, 0, -90].map(lag)).toEqual(['–', '1m30s', '0s', '1m30s ahead'])
  })
})
