import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createAuthority, enrol } from '#identity'
import { clauses, groups } from '../../apps/conformance/clauses.ts'
import type { Result } from '../../apps/conformance/verdicts.ts'

const cli = join(import.meta.dirname, '../../apps/cli/main.ts')
/** A back-off longer than this is cut short by switching the meter off and on, as a person would. */
const LONG_WAIT_MS = 2_500

let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'fogmeter-conformance-'))
  createAuthority(join(folder, 'lab'))
  enrol(join(folder, 'lab'), 'fog', 'fog-1', { out: join(folder, 'node') })
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

interface Outcome {
  code: number | null
  stdout: string
  stderr: string
}

function start(args: readonly string[]): { child: ChildProcess; done: Promise<Outcome> } {
  const child = spawn(process.execPath, [cli, ...args], { cwd: folder })
  const out = { code: null as number | null, stdout: '', stderr: '' }
  child.stdout.on('data', (chunk: Buffer) => (out.stdout += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (out.stderr += chunk.toString()))
  const done = once(child, 'close').then(([code]) => ({ ...out, code: code as number | null }))
  return { child, done }
}

const conformance = (...args: string[]) => start(['conformance', ...args]).done

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  return port
}

/** Our own meter as a process that is switched off and on whenever it would wait for long. */
function runMeter(port: number) {
  const files = enrol(join(folder, 'lab'), 'meter', 'my-meter', { out: join(folder, 'meter') })
  const lines = [
    'node = "fog-1"',
    `[broker]\nurl = "mqtt://127.0.0.1:${port}"`,
    `[identity]\nkey = "${files.key}"\ncredential = "${files.credential}"\nauthority = "${files.authority}"`,
    '[store]\npath = "meter.db"',
    '[source]\nkind = "sim"\ninterval_seconds = 10\ntime_scale = 100',
    '[block]\nreadings = 8',
  ]
  writeFileSync(join(folder, 'meter.toml'), lines.join('\n'))
  let child: ChildProcess
  let stopped = false
  function switchOn(): void {
    child = spawn(process.execPath, [cli, 'meter', 'run', '--config', 'meter.toml'], {
      cwd: folder,
    })
    child.stdout?.resume()
    child.stderr?.on('data', (chunk: Buffer) => {
      const wait = /"waitMs":(\d+)/.exec(chunk.toString())
      if (Number(wait?.[1] ?? 0) > LONG_WAIT_MS) child.kill('SIGTERM')
    })
    child.once('exit', () => {
      if (!stopped) switchOn()
    })
  }
  switchOn()
  return async () => {
    stopped = true
    const exited = once(child, 'exit')
    child.kill('SIGKILL')
    await exited
  }
}

test('our own meter passes every clause', async () => {
  const port = await freePort()
  const line = 'conformance --identity node --authority lab --meter my-meter --json --listen'
  const run = start([...line.split(' '), `127.0.0.1:${port}`])
  const stop = runMeter(port)
  const { code, stdout } = await run.done
  await stop()
  const report = JSON.parse(stdout) as { failed: number; clauses: Result[] }
  expect(report.clauses.filter(({ result }) => result !== 'pass')).toEqual([])
  expect(report.clauses).toHaveLength(clauses.length)
  expect(code).toBe(0)
}, 600_000)

test('nobody comes: nothing was seen, and nothing failed', async () => {
  const { code, stdout, stderr } = await conformance(
    ...'--identity node --listen 127.0.0.1:0 --wait 1 --only block'.split(' '),
  )
  expect(stdout).toContain('not seen block/chain')
  expect(stdout).toContain('0 passed, 0 failed, 5 not seen')
  expect(stderr).toMatch(/listening on mqtt:\/\/127\.0\.0\.1:\d+/)
  expect(stdout).not.toContain('\u001b[')
  expect(code).toBe(0)
})

test('--list names every clause once, with its source', async () => {
  const { code, stdout } = await conformance('--list', '--json')
  const listed = JSON.parse(stdout) as { id: string; source: string }[]
  expect(listed.map(({ id }) => id)).toEqual(clauses.map(({ id }) => id))
  expect(new Set(listed.map(({ id }) => id)).size).toBe(listed.length)
  expect(listed.every(({ source }) => source.length > 0)).toBe(true)
  expect(code).toBe(0)
})

test.each([
  { args: [], says: '--identity FOLDER or --config FILE' },
  { args: ['--identity', 'node', '--only', 'nonsense'], says: groups.join(', ') },
  { args: ['--identity', 'node', '--listen', 'nowhere'], says: 'HOST:PORT' },
  { args: ['--identity', 'node', '--wait', '0'], says: 'above 0' },
])('wrong usage: $args', async ({ args, says }) => {
  const { code, stderr } = await conformance(...args)
  expect(stderr).toContain(says)
  expect(code).toBe(2)
})

test('a meter’s files are not those of a node to play', async () => {
  enrol(join(folder, 'lab'), 'meter', 'other', { out: join(folder, 'other') })
  const { code, stderr } = await conformance('--identity', 'other')
  expect(stderr).toContain('"other" is enrolled as meter')
  expect(code).toBe(4)
})

test('a folder without a key is not found', async () => {
  const { code, stderr } = await conformance('--identity', 'nothing-here')
  expect(stderr).toContain('nothing-here')
  expect(code).toBe(3)
})
