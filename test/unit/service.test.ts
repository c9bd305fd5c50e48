import { spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  fstatSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  watch,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, test } from 'vitest'
import { codeOf } from '#errors'
import {
  createMetrics,
  prettyLine,
  startMetrics,
  systemClock,
  systemRandom,
  version,
} from '#service'

const folder = mkdtempSync(join(tmpdir(), 'fogmeter-service-'))
afterAll(() => rmSync(folder, { recursive: true }))

const service = fileURLToPath(new URL('../../libs/service/index.ts', import.meta.url))
const errors = fileURLToPath(new URL('../../libs/errors/index.ts', import.meta.url))

/** Starts a small program around `body`, which may use runService and CodedError. */
function program(
  body: string,
  env: Record<string, string> = {},
  stderr: 'pipe' | number = 'pipe',
  more: 'ipc'[] = [],
) {
  const file = join(folder, `program-${programs++}.ts`)
  const head = `import { runService } from '${service}'\nimport { CodedError } from '${errors}'\n`
  writeFileSync(file, head + body)
  const { NOTIFY_SOCKET: _1, JOURNAL_STREAM: _2, ...clean } = process.env
  const child = spawn(process.execPath, [file], {
    env: { ...clean, ...env },
    stdio: ['ignore', 'pipe', stderr, ...more],
  })
  let text = ''
  child.stderr?.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
  // Not 'close', which never comes after the channel was cut from our side.
  const ends = [once(child, 'exit'), ...(child.stderr ? [once(child.stderr, 'end')] : [])]
  const exit = Promise.all(ends).then(([exited]) => exited?.[0] as number | null)
  const started = child.stdout === null ? null : once(child.stdout, 'data')
  return { child, exit, started, lines: () => logLines(text) }
}
let programs = 0

function logLines(text: string): Record<string, unknown>[] {
  const lines = text.split('\n').filter((line) => line !== '')
  return lines.map((line) => JSON.parse(line) as Record<string, unknown>)
}

describe('runService', () => {
  test('SIGTERM stops in order: the signal is aborted first, exit code 0', async () => {
    const { child, exit, started, lines } = program(`
      await runService({ name: 'x', start: async ({ signal, log }) => {
        setInterval(() => {}, 1000)
        setImmediate(() => process.stdout.write('up'))
        return { stop: async () => { log.info({ aborted: signal.aborted }, 'closing') } }
      }})`)
    await started
    child.kill('SIGTERM')
    expect(await exit).toBe(0)
    expect(lines().map((line) => line['msg'])).toEqual(['stopping', 'closing', 'stopped'])
    expect(lines()[1]).toMatchObject({ name: 'x', level: 'info', aborted: true })
  })

  test('a stop that hangs is bounded, exit code 1', async () => {
    const { child, exit, started, lines } = program(`
      await runService({ name: 'x', stopTimeoutMs: 50, start: async () => {
        setInterval(() => {}, 1000)
        setImmediate(() => process.stdout.write('up'))
        return { stop: () => new Promise(() => {}) }
      }})`)
    await started
    child.kill('SIGINT')
    expect(await exit).toBe(1)
    expect(lines().at(-1)).toMatchObject({ code: 'service/stop-timeout' })
  })

  test.each([
    ['when it runs', 'await runService(', true],
    [
      'while it loads',
      'await new Promise((r) => process.once("disconnect", r)); await runService(',
      false,
    ],
  ])('the end of its parent ends it, %s', async (_, run, up) => {
    const body = `${run}{ name: 'x', start: async () => {
        setInterval(() => {}, 1000)
        setImmediate(() => process.stdout.write('up'))
        return { stop: async () => {} }
      }})`
    const { child, exit, started, lines } = program(body, {}, 'pipe', ['ipc'])
    if (up) await started
    child.disconnect()
    expect(await exit).toBe(1)
    expect(lines()).toMatchObject([{ event: 'orphaned' }])
  })

  test('a second signal ends it at once', async () => {
    const { child, exit, started } = program(`
      await runService({ name: 'x', stopTimeoutMs: 600_000, start: async () => {
        setInterval(() => {}, 1000)
        setImmediate(() => process.stdout.write('up'))
        return { stop: () => { process.stdout.write('stopping'); return new Promise(() => {}) } }
      }})`)
    await started
    child.kill('SIGTERM')
    if (child.stdout !== null) await once(child.stdout, 'data')
    child.kill('SIGTERM')
    expect(await exit).toBe(1)
  })

  test('a coded error at start is told line by line, without a stack', async () => {
    const { exit, lines } = program(`
      await runService({ name: 'x', start: async () => {
        throw new CodedError('config/invalid', 'a.toml: node: found nothing\\na.toml: b: found 3')
      }})`)
    expect(await exit).toBe(2)
    expect(lines()).toHaveLength(2)
    expect(lines()[0]).toMatchObject({ code: 'config/invalid', msg: 'a.toml: node: found nothing' })
    expect(lines()[0]).not.toHaveProperty('err')
  })

  test.each([
    ['thrown in a callback', `setImmediate(() => { throw new CodedError('store/broken', 'x') })`],
    ['a promise nobody waits for', `void Promise.reject(new CodedError('store/broken', 'x'))`],
  ])('an unexpected error, %s, ends it with its code', async (_, statement) => {
    const { exit, lines } = program(`
      await runService({ name: 'x', start: async () => {
        setInterval(() => {}, 1000)
        ${statement}
        return { stop: async () => {} }
      }})`)
    expect(await exit).toBe(1)
    expect(lines().at(-1)).toMatchObject({ level: 'fatal', code: 'store/broken' })
  })

  test('fail() stops in order but with exit code 1', async () => {
    const { exit, lines } = program(`
      await runService({ name: 'x', start: async ({ fail }) => {
        setImmediate(() => fail(new CodedError('disk/full', 'no space')))
        setInterval(() => {}, 1000)
        return { stop: async () => {} }
      }})`)
    expect(await exit).toBe(1)
    expect(lines().map((line) => line['msg'])).toEqual(['cannot go on', 'stopped'])
  })
})

describe('log', () => {
  test('priorities in front of each line when the journal listens', async () => {
    const file = join(folder, 'journal')
    const fd = openSync(file, 'w')
    const { dev, ino } = fstatSync(fd)
    const failing = `await runService({ name: 'x', start: async ({ log }) => {
      log.warn('careful')
      throw new CodedError('x/y', 'wrong') }})`
    expect(await program(failing, { JOURNAL_STREAM: `${dev}:${ino}` }, fd).exit).toBe(1)
    const lines = readFileSync(file, 'utf8').trim().split('\n')
    expect(lines.map((line) => line.slice(0, 4))).toEqual(['<4>{', '<3>{'])
    expect(JSON.parse((lines[0] ?? '').slice(3))).toMatchObject({ level: 'warn', msg: 'careful' })
  })

  test('none when JOURNAL_STREAM names another stream', async () => {
    const failing = `await runService({ name: 'x', start: async () => {
      throw new CodedError('x/y', 'wrong') }})`
    const { exit, lines } = program(failing, { JOURNAL_STREAM: '1:2' })
    await exit
    expect(lines()[0]).toMatchObject({ level: 'error' })
  })

  test('a readable line for a person keeps control characters escaped', () => {
    const json = JSON.stringify({
      level: 'info',
      time: '2026-03-01T12:34:56.789Z',
      name: 'x',
      port: 1883,
      id: 'a\u001b[31m\nb',
      msg: 'listening',
    })
    expect(prettyLine(json)).toBe('12:34:56.789 info  listening port=1883 id="a\\u001b[31m\\nb"\n')
  })
})

describe('systemd', () => {
  test('without NOTIFY_SOCKET nothing is sent and nothing fails', async () => {
    const { child, exit, started, lines } = program(`
      await runService({ name: 'x', start: async ({ notify, log }) => {
        log.level = 'debug'
        notify.watchdog(); notify.status('busy')
        setInterval(() => {}, 1000)
        setImmediate(() => process.stdout.write('up'))
        return { stop: async () => {} }
      }})`)
    await started
    child.kill('SIGTERM')
    expect(await exit).toBe(0)
    expect(lines().map((line) => line['msg'])).toEqual(['stopping', 'stopped'])
  })

  test('READY, WATCHDOG and STOPPING, each through systemd-notify', async () => {
    const said = join(folder, 'said')
    writeFileSync(said, '')
    const fake = join(folder, 'systemd-notify')
    // Stands in for the program: systemd itself listens on a socket Node cannot open.
    writeFileSync(fake, `#!/bin/sh\necho "$@" >> ${said}\n`, { mode: 0o755 })
    const changed = watch(said)
    const until = async (word: string) => {
      while (!readFileSync(said, 'utf8').includes(word)) await once(changed, 'change')
    }
    const { child, exit } = program(
      `await runService({ name: 'x', start: async ({ notify }) => {
        for (let i = 0; i < 100; i++) notify.watchdog()
        setInterval(() => {}, 1000)
        return { stop: async () => {} }
      }})`,
      {
        NOTIFY_SOCKET: join(folder, 'notify'),
        WATCHDOG_USEC: '60000000',
        PATH: `${folder}:${process.env['PATH']}`,
      },
    )
    await until('WATCHDOG=1')
    await until('--ready')
    child.kill('SIGTERM')
    await until('STOPPING=1')
    expect(await exit).toBe(0)
    // Not a process for each of a hundred commits.
    expect(readFileSync(said, 'utf8').match(/WATCHDOG/g)).toHaveLength(1)
    changed.close()
  })
})

describe('metrics', () => {
  test('/metrics and /healthz, 503 with the reason', async () => {
    const metrics = createMetrics('broker')
    metrics.counter('refused_total', 'Refused.', ['reason']).inc({ reason: 'size' }, 2)
    let depth = 1
    metrics.gauge('outbox_items', 'Held.', () => depth)
    metrics.totals('seen_total', 'Seen.', 'kind', () => [['a', depth]])
    let problem: string | null = null
    const server = await startMetrics({
      listen: { host: '127.0.0.1', port: 0 },
      registry: metrics.registry,
      health: () => problem,
    })
    const get = async (path: string, method = 'GET') => {
      const response = await fetch(`http://127.0.0.1:${server.port}${path}`, { method })
      return [response.status, await response.text()] as const
    }
    depth = 7
    const [, text] = await get('/metrics')
    expect(text).toContain('fogmeter_refused_total{reason="size"} 2')
    expect(text).toContain('fogmeter_outbox_items 7')
    expect(text).toContain('fogmeter_seen_total{kind="a"} 7')
    expect((await get('/metrics'))[1]).toContain('fogmeter_seen_total{kind="a"} 7')
    expect(text).toContain(`fogmeter_build_info{program="broker",version="${version}"`)
    expect(await get('/healthz')).toEqual([200, 'ok\n'])
    problem = 'the store is full'
    expect(await get('/healthz')).toEqual([503, 'the store is full\n'])
    expect((await get('/other'))[0]).toBe(404)
    expect((await get('/metrics', 'POST'))[0]).toBe(405)
    await server.close()
  })

  test('off is no listener', async () => {
    const { registry } = createMetrics('x')
    const server = await startMetrics({ listen: null, registry, health: () => null })
    expect(server.port).toBeNull()
    await server.close()
  })

  test('an address in use is a coded error', async () => {
    const other = createServer().listen(0, '127.0.0.1')
    await once(other, 'listening')
    const { port } = other.address() as { port: number }
    const { registry } = createMetrics('x')
    const listen = { host: '127.0.0.1', port }
    const error = await startMetrics({ listen, registry, health: () => null }).catch(codeOf)
    expect(error).toBe('service/metrics-listen')
    other.close()
  })
})

test('clock and randomness of the machine', () => {
  const before = systemClock.monotonic()
  expect(systemClock.monotonic()).toBeGreaterThanOrEqual(before)
  expect(Math.abs(systemClock.now() - Date.now())).toBeLessThan(60_000)
  const [a, b] = [systemRandom(32), systemRandom(32)]
  expect(a).toBeInstanceOf(Uint8Array)
  expect(Buffer.isBuffer(a)).toBe(false)
  expect(Buffer.from(a).equals(Buffer.from(b))).toBe(false)
})
