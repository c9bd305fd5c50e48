/**
 * A node's first start with the real programs: a cloud that holds its authority, an image prepared by
 * the command line, and "pi first-boot" on what lies in the image, killed at any system call.
 */
import { execFile, spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { createServer, request, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { toBase64Url } from '#bytes'
import { decodeCredential } from '#credential'
import { nodeCrypto } from '#crypto-node'
import { newToken, tokenKey } from '#enrolment'
import { readEnrolments } from '#identity'
import { systemRandom } from '#service'
import { makeImage } from '../support/image.ts'

const cli = join(import.meta.dirname, '../../apps/cli/main.ts')
const hasTools = ['mcopy', 'mkfs.vfat', 'sfdisk'].every(
  (tool) => spawnSync('which', [tool]).status === 0,
)
const hasStrace = spawnSync('strace', ['-V']).status === 0

let folder = ''
let api = ''
const running: ChildProcess[] = []
const at = (...parts: string[]) => join(folder, ...parts)

interface Outcome {
  code: number | null
  stdout: string
  stderr: string
}

function run(command: string, args: readonly string[]): Promise<Outcome> {
  return new Promise((resolve) => {
    const options = { cwd: folder, env: { ...process.env, NO_COLOR: '1' } }
    const child = execFile(command, args, options, (error, stdout, stderr) => {
      resolve({
        code: error === null ? 0 : ((error.code as unknown as number) ?? null),
        stdout,
        stderr,
      })
    })
    child.stdin?.end()
  })
}
const fogmeter = (...args: string[]) => run(process.execPath, [cli, ...args])

/** What a process has said up to a certain text, or up to its end. */
function saying(child: ChildProcess, text: string): Promise<string> {
  const { stderr } = child
  return new Promise((resolve) => {
    let said = ''
    const look = (chunk: Buffer) => {
      said += chunk.toString()
      if (said.includes(text)) resolve(said)
    }
    stderr?.on('data', look)
    child.on('exit', () => resolve(said))
  })
}

async function startProgram(name: string, config: string): Promise<string> {
  const child = spawn(process.execPath, [cli, name, 'run', '--config', config], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  running.push(child)
  return saying(child, '"event":"listening"')
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'fogmeter-enrolment-'))
  await fogmeter('authority', 'init')
  await fogmeter('enrol', 'cloud', 'cloud-a', '--out', 'new')
  writeFileSync(at('api.token'), 'a token for the operator alone\n'.replaceAll(' ', '-'), {
    mode: 0o600,
  })
  writeFileSync(
    at('broker.toml'),
    `node = "cloud-a"\nlisten = ["mqtt://127.0.0.1:0"]\n[local]\nsocket = "b.sock"\n`,
  )
  writeFileSync(
    at('cloud.toml'),
    `[broker]
    url = "unix:b.sock"
    [identity]
    key = "new/cloud-a.key"
    credential = "new/cloud-a.cwt"
    authority = "new/authority.pub"
    revocations = "authority/revoked.cose"
    [store]
    path = "cloud.db"
    [http]
    listen = "127.0.0.1:0"
    token_file = "api.token"
    [enrolment]
    authority = "authority"`,
  )
  await startProgram('broker', at('broker.toml'))
  const said = await startProgram('cloud', at('cloud.toml'))
  api = /"url":"([^"]+)"/.exec(said)?.[1] ?? ''
}, 180_000)

afterAll(async () => {
  for (const child of running) {
    child.kill('SIGKILL')
    await once(child, 'exit')
  }
  rmSync(folder, { recursive: true, force: true })
})

/** An image with a FAT, prepared, and its folder as the Pi sees it. */
async function prepared(
  name: string,
  ...more: string[]
): Promise<{ outcome: Outcome; boot: string }> {
  const image = at(`${name}.img`)
  makeImage(image)
  const wishes = ['--image', image, '--fog', name, '--cloud', 'mqtt://127.0.0.1:1884']
  const access = ['--url', api, '--api', api, '--token-file', at('api.token')]
  const outcome = await fogmeter('pi', 'prepare', ...wishes, ...access, ...more)
  const boot = at(`${name}-boot`)
  mkdirSync(boot)
  await run('mcopy', ['-s', '-i', `${image}@@1048576`, '::fogmeter/*', boot])
  return { outcome, boot }
}

function firstBootArguments(boot: string, machine: string): string[] {
  const own = ['--state', at(machine, 'state'), '--etc', at(machine, 'etc')]
  return [cli, 'pi', 'first-boot', '--boot', boot, ...own]
}
const firstBoot = (boot: string, machine: string) =>
  run(process.execPath, firstBootArguments(boot, machine))

/** The same card for another node, with a token of its own. */
async function copyFor(name: string, original: string): Promise<string> {
  const boot = at(`${name}-boot`)
  cpSync(original, boot, { recursive: true })
  const settings = readFileSync(join(boot, 'node.toml'), 'utf8')
  writeFileSync(join(boot, 'node.toml'), settings.replace('FN-00', name))
  const token = newToken(systemRandom)
  writeFileSync(join(boot, 'token'), token)
  const id = toBase64Url(tokenKey(nodeCrypto, token).publicKey)
  const authorization = `Bearer ${readFileSync(at('api.token'), 'utf8').trim()}`
  const { status } = await fetch(`${api}/api/v1/enrolments/approvals`, {
    method: 'POST',
    headers: { authorization, 'content-type': 'application/json' },
    body: JSON.stringify({ id, name }),
  })
  expect(status).toBe(200)
  return boot
}

const enrolmentsOf = (name: string) =>
  readEnrolments(at('authority')).filter(({ deviceId }) => deviceId === name)

describe.skipIf(!hasTools)(
  'pi prepare and pi first-boot (skipped without mtools, dosfstools, fdisk)',
  () => {
    test('an image becomes a fog node; a second card with the same image does not', async () => {
      const { outcome, boot } = await prepared('FN-01')
      expect(outcome).toMatchObject({ code: 0 })
      const token = readFileSync(join(boot, 'token'), 'latin1').trim()
      expect(outcome.stdout + outcome.stderr).not.toContain(token)
      expect(readFileSync(at('cloud.db'), 'latin1')).not.toContain(token)

      const started = await firstBoot(boot, 'pi-1')
      expect(started).toMatchObject({ code: 0 })
      expect(existsSync(join(boot, 'token'))).toBe(false)
      for (const [program, file] of [
        ['broker', 'broker.toml'],
        ['agent', 'agent.toml'],
      ] as const) {
        const checked = await fogmeter('config', 'check', at('pi-1/etc', file), '--for', program)
        expect(checked).toMatchObject({ code: 0 })
      }
      const credential = decodeCredential(readFileSync(at('pi-1/etc/agent.cwt')))
      expect(credential).toMatchObject({ deviceId: 'FN-01', role: 'fog', group: 'default' })

      writeFileSync(join(boot, 'token'), token)
      const second = await firstBoot(boot, 'pi-2')
      expect(second.code).toBe(1)
      expect(second.stderr).toContain('enrolment/token-used')
      expect(second.stderr).not.toContain(token)
      expect(existsSync(at('pi-2/etc/agent.toml'))).toBe(false)
      expect(enrolmentsOf('FN-01')).toHaveLength(1)

      const again = await prepared('FN-01-again', '--fog', 'FN-01')
      expect(again.outcome.code).toBe(1)
      expect(again.outcome.stderr).toContain('"FN-01" has a valid credential')
    })

    test.skipIf(!hasStrace)(
      'killed at every renaming and deleting, the next start ends well (skipped without strace)',
      async () => {
        let killed = 0
        const { boot: original } = await prepared('FN-00')
        for (const call of ['rename', 'unlink']) {
          for (let nth = 1; nth < 40; nth++) {
            const name = `FN-${call}-${nth}`
            const boot = await copyFor(name, original)
            const inject = ['-f', '-qq', '-o', '/dev/null', '-e', `trace=${call}`]
            const when = ['-e', `inject=${call}:signal=KILL:when=${nth}`]
            const cut = await run('strace', [
              ...inject,
              ...when,
              process.execPath,
              ...firstBootArguments(boot, name),
            ])
            const { code } = await firstBoot(boot, name)
            expect({ name, code }).toEqual({ name, code: 0 })
            expect(existsSync(join(boot, 'token'))).toBe(false)
            expect(enrolmentsOf(name)).toHaveLength(1)
            const placed = decodeCredential(readFileSync(at(name, 'etc/agent.cwt')))
            expect(placed.deviceId).toBe(name)
            if (cut.code === 0) break // it no longer comes to an nth call
            killed += 1
          }
        }
        expect(killed).toBeGreaterThan(8)
      },
      300_000,
    )

    test('a cloud that is not up yet: it waits, and goes on', async () => {
      let proxy: Server | null = null
      const { boot } = await prepared('FN-03')
      const port = await freePort()
      const settings = readFileSync(join(boot, 'node.toml'), 'utf8')
      writeFileSync(join(boot, 'node.toml'), settings.replace(api, `http://127.0.0.1:${port}`))
      const child = spawn(process.execPath, firstBootArguments(boot, 'pi-3'))
      let said = ''
      child.stderr.on('data', (chunk: Buffer) => {
        said += chunk.toString()
        if (said.includes('trying again') && proxy === null) proxy = forward(port)
      })
      const [code] = (await once(child, 'exit')) as [number]
      expect({ code, said }).toMatchObject({ code: 0 })
      expect(said).toContain('(ECONNREFUSED)')
      ;(proxy as Server | null)?.close()
    }, 180_000)
  },
)

const access = () => ['--url', api, '--token-file', at('api.token')]

/** A node that waits for its claim: its code, and how it ends. */
async function waiting(boot: string, machine: string) {
  const port = await freePort()
  const child = spawn(process.execPath, [
    ...firstBootArguments(boot, machine),
    '--page',
    String(port),
  ])
  const ended = once(child, 'exit')
  const said = await saying(child, 'also on')
  const page = await (await fetch(`http://127.0.0.1:${port}/`)).text()
  const code = /fog claim ([a-z-]+)/.exec(page)?.[1] ?? ''
  return { page, code, said, ended, child }
}

describe.skipIf(!hasTools)('without a token (skipped without mtools, dosfstools, fdisk)', () => {
  test('a node shows its code, is claimed by it, and by nothing less', async () => {
    const { outcome, boot } = await prepared('FN-20', '--no-token')
    expect(outcome).toMatchObject({ code: 0 })
    expect(existsSync(join(boot, 'token'))).toBe(false)
    const { code, page, said, ended } = await waiting(boot, 'pi-20')
    expect(code.split('-')).toHaveLength(8)
    expect(page).toContain('<svg')
    expect(said).toContain(`fog claim ${code} --name FN-20`)
    expect(said).toMatch(/[█▀▄]{8}/)

    const [one = '', two = ''] = code.split('-')
    const short = await fogmeter('fog', 'claim', one, two, ...access())
    expect(short).toMatchObject({ code: 2, stdout: '' })
    expect(short.stderr).toContain('type all eight words')
    const listed = await fogmeter('fog', 'enrolments', '--json', ...access())
    expect(JSON.parse(listed.stdout)).toMatchObject({ waiting: [{ code, name: 'FN-20' }] })
    const claimed = await fogmeter('fog', 'claim', code.toUpperCase(), ...access())
    expect(claimed).toMatchObject({ code: 0, stderr: '' })
    expect(await ended).toEqual([0, null])
    expect(decodeCredential(readFileSync(at('pi-20/etc/agent.cwt'))).deviceId).toBe('FN-20')
  }, 180_000)

  test('where the authority is elsewhere, its machine signs what was approved', async () => {
    const config = readFileSync(at('cloud.toml'), 'utf8')
    writeFileSync(
      at('cloud-2.toml'),
      config.replace('authority = "authority"', '').replace('cloud.db', 'cloud-2.db'),
    )
    const said = await startProgram('cloud', at('cloud-2.toml'))
    const url = /"url":"([^"]+)"/.exec(said)?.[1] ?? ''
    const { boot } = await prepared('FN-21', '--no-token')
    const settings = readFileSync(join(boot, 'node.toml'), 'utf8').replace(api, url)
    writeFileSync(join(boot, 'node.toml'), settings)
    const second = ['--url', url, '--token-file', at('api.token')]
    const { code, ended, child } = await waiting(boot, 'pi-21')
    const approved = saying(child, '"fogmeter fog sign"')
    expect(await fogmeter('fog', 'claim', code, ...second)).toMatchObject({ code: 0 })
    await approved
    const unseen = await fogmeter('fog', 'sign', ...second)
    expect(unseen.code).toBe(2) // nobody here can say yes
    const signed = await fogmeter('fog', 'sign', '--yes', '--json', ...second)
    expect(signed).toMatchObject({ code: 0, stdout: '["FN-21"]\n' })
    expect(signed.stderr).toContain(code)
    expect(await ended).toEqual([0, null])
    expect(await fogmeter('fog', 'sign', '--json', ...second)).toMatchObject({ stdout: '[]\n' })
  }, 180_000)
})

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

function forward(port: number): Server {
  const server = createServer((from, to) => {
    const { method = 'GET', url = '/', headers } = from
    const on = request(new URL(url, api), { method, headers }, (answer) => {
      to.writeHead(answer.statusCode ?? 502, answer.headers)
      answer.pipe(to)
    })
    from.pipe(on)
  })
  return server.listen(port, '127.0.0.1')
}
