import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { afterAll, describe, expect, test } from 'vitest'

const demo = join(import.meta.dirname, '../../apps/demo/main.ts')
const folder = mkdtempSync(join(tmpdir(), 'fogmeter-demo-test-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

function start(...flags: string[]) {
  const args = [demo, '--fogs', '1', '--meters', '2', ...flags]
  const child = spawn(process.execPath, args, { env: { ...process.env, TMPDIR: folder } })
  const out = { stdout: '', stderr: '' }
  child.stdout.on('data', (chunk: Buffer) => (out.stdout += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (out.stderr += chunk.toString()))
  const said = async (words: string) => {
    while (!out.stderr.includes(words)) await once(child.stderr, 'data')
  }
  return { child, out, said, exited: once(child, 'close').then(([code]) => code as number | null) }
}

/** Command lines of this machine that name `folder`, where every program's configuration is. */
function strays(): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((pid) => commandLine(pid))
    .filter((line) => line.includes(folder))
}

function commandLine(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')
  } catch {
    return '' // ended meanwhile
  }
}

/** The test's own time limit bounds it. */
async function nobodyLeft(): Promise<void> {
  while (strays().length > 0) await setTimeout(50)
}

describe('npm start', () => {
  test.each([
    ['an impatient Ctrl-C while it runs', 'Ctrl-C', ['SIGINT', 'SIGINT']],
    ['a Ctrl-C while it starts', '2 of 6', ['SIGINT']],
    ['the end of its terminal', 'Ctrl-C', ['SIGHUP']],
  ] as const)('%s: everything stops, nothing is left', async (_, words, signals) => {
    const { child, out, said, exited } = start()
    await said(words)
    for (const signal of signals) child.kill(signal)
    expect(await exited).toBe(0)
    expect(strays()).toEqual([])
    expect(readdirSync(folder)).toEqual([])
    expect(out.stdout).toBe('')
  })

  test.each([
    ['while it runs', 'Ctrl-C'],
    ['while it starts', '2 of 6'],
  ])('killed %s: no program goes on without it', async (_, words) => {
    const { child, said, exited } = start()
    await said(words)
    expect(strays().length).toBeGreaterThanOrEqual(2)
    child.kill('SIGKILL')
    await exited
    await nobodyLeft()
    rmSync(folder, { recursive: true })
    mkdirSync(folder)
  })

  test('npm itself killed: the demo sees that it is alone, and stops in order', async () => {
    const env = { ...process.env, TMPDIR: folder, npm_lifecycle_event: 'start' }
    const command = `'${process.execPath}' '${demo}' --fogs 1 --meters 1 & wait`
    const npm = spawn('sh', ['-c', command], { env })
    npm.stdout.resume()
    for await (const chunk of npm.stderr) if (String(chunk).includes('2 of 5')) break
    expect(strays().length).toBeGreaterThanOrEqual(2)
    npm.kill('SIGKILL')
    await nobodyLeft()
    while (readdirSync(folder).length > 0) await setTimeout(50)
  })

  test('--seconds --json: one line, every reading accounted for', async () => {
    const { out, exited } = start('--seconds', '4', '--json')
    expect(await exited).toBe(0)
    const result = JSON.parse(out.stdout) as Record<string, number>
    expect(Object.keys(result).join()).toBe(
      'sent,accepted,accounted,lost,duplicated,summaries,fogs,meters',
    )
    expect(result).toMatchObject({ lost: 0, duplicated: 0, fogs: 1, meters: 2 })
    expect(result['sent']).toBeGreaterThan(0)
    expect(result['accounted']).toBe(result['sent'])
    expect(readdirSync(folder)).toEqual([])
  })

  test('a program that ends by itself: exit code 1, and its log is still there', async () => {
    const { out, said, exited } = start()
    await said('Ctrl-C')
    const agent = readdirSync('/proc').find(
      (pid) =>
        commandLine(pid).includes(join('config', 'fog-1-agent.toml')) &&
        commandLine(pid).includes(folder),
    )
    process.kill(Number(agent), 'SIGKILL')
    expect(await exited).toBe(1)
    const log = /its log is (\S+)/.exec(out.stderr)?.[1] ?? ''
    expect(existsSync(log)).toBe(true)
    expect(strays()).toEqual([])
  })
})
