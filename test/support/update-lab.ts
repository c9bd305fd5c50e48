import { execFileSync, spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { writeRepository } from '../../apps/pi/repository.ts'
import { buildName, filesBelow } from '../../deploy/package/files.ts'
import { makeRepository, releaseFile, sumOf } from '../../deploy/package/repository.ts'

const scripts = join(import.meta.dirname, '../../deploy/update')

/** Programs so small that a test can have many versions of them. */
export function makePrograms(folder: string, version: string): string {
  mkdirSync(join(folder, 'app'), { recursive: true })
  writeFileSync(join(folder, 'node'), `#!/bin/sh\necho ${version}\n`)
  chmodSync(join(folder, 'node'), 0o755)
  writeFileSync(join(folder, 'app/fogmeter.js'), `// ${version}\n`.repeat(20_000))
  for (const name of ['versions', 'update', 'upkeep']) {
    cpSync(join(scripts, name), join(folder, name))
    chmodSync(join(folder, name), 0o755)
  }
  const build = buildName(folder, version)
  writeFileSync(join(folder, 'build'), `${build}\n`)
  return build
}

/** The name of the programs in a folder if every file is as it was made, else what is wrong. */
export function wholeness(folder: string): string {
  if (!existsSync(join(folder, 'build'))) return `${folder} has no name`
  const build = readFileSync(join(folder, 'build'), 'utf8').trim()
  const found = buildName(folder, build.slice(0, build.lastIndexOf('-')))
  return found === build ? build : `${folder} is called ${build} and holds ${found}`
}

/** The root of a machine whose programs are a version of `makePrograms`. */
export interface Machine {
  root: string
  /** Where versions are. */
  at: string
  env: Record<string, string>
  /** What runs, if it is whole; else what is wrong. */
  runs: () => string
}

export function makeMachine(root: string, version: string): Machine {
  makePrograms(join(root, 'usr/lib/fogmeter'), version)
  mkdirSync(join(root, 'usr/lib/fogmeter-image'), { recursive: true })
  const at = join(root, 'var/lib/fogmeter-versions')
  // Tried once: a line that is cut off stays so here. Nothing that a machine lets pass may count.
  const aptConfig = join(root, 'apt.conf')
  writeFileSync(
    aptConfig,
    `Acquire::Retries "0";
Acquire::Check-Valid-Until "false";
Acquire::AllowInsecureRepositories "true";
APT::Get::AllowUnauthenticated "true";
`,
  )
  return {
    root,
    at,
    env: { PATH: process.env['PATH'] ?? '', FOGMETER_ROOT: root, APT_CONFIG: aptConfig },
    runs() {
      const current = join(at, 'current')
      const there = existsSync(join(current, 'node'))
      const folder = there ? join(at, readlinkSync(current)) : join(root, 'usr/lib/fogmeter')
      return wholeness(folder)
    },
  }
}

export interface Outcome {
  status: number | null
  /** stdout and stderr. */
  said: string
}

/** Starts one of the scripts with a process group of its own, so that all of it can be killed at once. */
export function startScript(
  { root, env }: Machine,
  name: 'versions' | 'update',
  args: readonly string[] = [],
  more: Record<string, string> = {},
): { child: ChildProcess; ended: Promise<Outcome> } {
  const path = join(root, 'usr/lib/fogmeter', name)
  const child = spawn(path, args, {
    env: { ...env, ...more },
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let said = ''
  for (const stream of [child.stdout, child.stderr])
    stream?.on('data', (bytes: Buffer) => (said += bytes.toString()))
  const ended = once(child, 'close').then(([status]) => ({ status: status as number | null, said }))
  return { child, ended }
}

export const runScript = async (...args: Parameters<typeof startScript>): Promise<Outcome> =>
  startScript(...args).ended

/** What a server does to a file it is asked for: null leaves it alone. */
export type Fault = (name: string, content: Buffer) => { content: Buffer; cutAt?: number } | null

export interface UpdateLab {
  folder: string
  url: string
  /** ASCII armour. */
  publicKey: string
  fault: Fault | null
  machine: (name: string, version: string) => Machine
  deb: (version: string) => string
  /**
   * Signs the repository with these packages alone, by default now and with the key that nodes know;
   * `also` is one more entry of its list.
   */
  publish: (
    versions: readonly string[],
    options?: { signKey?: string; epochS?: number; also?: string },
  ) => void
  close: () => Promise<void>
}

export const otherKey = 'Somebody Else'
export const ownKey = 'Fogmeter Test'

export const canUpdate = ['apt-get', 'dpkg-deb', 'gpg', 'flock'].every((tool) => {
  try {
    execFileSync('which', [tool], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
})

const MIB = 2 ** 20

/** Serves the files of a folder, each as `fault` leaves it, on 127.0.0.1; `pauseMs` after each MiB. */
export async function serveFolder(
  folder: string,
  { fault, pauseMs = 0 }: { fault?: Fault; pauseMs?: number } = {},
): Promise<{ url: string; close: () => Promise<void> }> {
  const server = createServer((request, response) => {
    const name = decodeURIComponent(request.url ?? '').replace(/^\/\.?\/?/, '')
    const path = join(folder, name)
    if (!path.startsWith(folder) || !existsSync(path)) {
      response.writeHead(404).end()
      return
    }
    const plain = readFileSync(path)
    const { content, cutAt = content.length } = fault?.(name, plain) ?? { content: plain }
    response.writeHead(200, { 'content-length': content.length })
    const parts = async function* () {
      for (let at = 0; at < cutAt; at += MIB) {
        yield content.subarray(at, Math.min(cutAt, at + MIB))
        if (pauseMs > 0) await sleep(pauseMs)
      }
    }
    // Fails when who asked has gone, or died.
    void pipeline(parts, response, { end: cutAt === content.length })
      .then(() => cutAt < content.length && response.destroy())
      .catch(() => response.destroy())
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}/`,
    async close() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

/** Two secret keys in a home of gpg's own, which this process uses from then on. */
export function openKeys(folder: string): { publicKey: string; close: () => void } {
  mkdirSync(folder, { mode: 0o700 })
  process.env['GNUPGHOME'] = folder
  for (const name of [ownKey, otherKey])
    gpg('--passphrase', '', '--quick-gen-key', name, 'ed25519', 'sign', 'never')
  return {
    publicKey: gpg('--armor', '--export', ownKey),
    close() {
      execFileSync('gpgconf', ['--kill', 'gpg-agent'])
      delete process.env['GNUPGHOME']
    },
  }
}

function gpg(...args: string[]): string {
  return execFileSync('gpg', ['--batch', '--quiet', ...args], { encoding: 'utf8', stdio: 'pipe' })
}

/** A repository on 127.0.0.1, keys of its own, and machines that know them. */
export async function openUpdateLab(): Promise<UpdateLab> {
  const folder = mkdtempSync(join(tmpdir(), 'fogmeter-update-'))
  const site = join(folder, 'site')
  const keys = openKeys(join(folder, 'gnupg'))
  const { url, close } = await serveFolder(site, {
    fault: (name, content) => lab.fault?.(name, content) ?? null,
  })
  const lab: UpdateLab = {
    folder,
    url,
    publicKey: keys.publicKey,
    fault: null,
    machine(name, version) {
      const machine = makeMachine(join(folder, name), version)
      writeRepository(machine.root, { url: lab.url, key: lab.publicKey })
      return machine
    },
    deb: (version) => makeDeb(join(folder, 'debs'), version),
    publish(versions, { signKey = ownKey, epochS = Math.floor(Date.now() / 1_000), also } = {}) {
      rmSync(site, { recursive: true, force: true })
      const debs = versions.map((version) => lab.deb(version))
      makeRepository({ folder: site, debs, signKey, validDays: 30, epochS })
      if (also === undefined) return
      const list = `${readFileSync(join(site, 'Packages'), 'utf8')}\n${also}`
      const release = releaseFile(new Map([['Packages', sumOf(Buffer.from(list))]]), {
        epochS,
        validDays: 30,
      })
      writeFileSync(join(site, 'Packages'), list)
      const sign = ['--batch', '--local-user', signKey, '--clearsign']
      writeFileSync(join(site, 'InRelease'), execFileSync('gpg', sign, { input: release }))
    },
    async close() {
      keys.close()
      await close()
      rmSync(folder, { recursive: true, force: true })
    },
  }
  return lab
}

function makeDeb(folder: string, version: string): string {
  const architecture = execFileSync('dpkg', ['--print-architecture'], { encoding: 'utf8' }).trim()
  const path = join(folder, `fogmeter_${version}_${architecture}.deb`)
  if (existsSync(path)) return path
  const tree = join(folder, `tree-${version}`)
  makePrograms(join(tree, 'usr/lib/fogmeter'), version)
  const fields = {
    Package: 'fogmeter',
    Version: version,
    Architecture: architecture,
    Maintainer: 'Nobody <nobody@fogmeter.invalid>',
    'Installed-Size': String(filesBelow(tree).length * 300),
    Description: 'programs of a test',
  }
  const control = join(tree, 'DEBIAN/control')
  mkdirSync(dirname(control))
  writeFileSync(
    control,
    Object.entries(fields)
      .map(([key, value]) => `${key}: ${value}\n`)
      .join(''),
  )
  execFileSync('dpkg-deb', ['--root-owner-group', '-Znone', '--build', tree, path], {
    stdio: 'ignore',
  })
  return path
}
