/** The fog node of the campaign: put together once, started again and again. */
import { execFileSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, readlinkSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { wholeness } from '../../support/update-lab.ts'
import { createMachine, diskOptions, insidePath, makeDisk, mountDevices, sh } from './machine.ts'
import type { Machine, MachineKind } from './machine.ts'
import type { Release, Releases } from './releases.ts'

type Program = 'broker' | 'cloud-broker' | 'cloud' | 'agent' | 'meter@meter-0001'
/** In the order in which they are started; each waits for those of the lines before. */
const programs: readonly (readonly Program[])[] = [
  ['broker', 'cloud-broker'],
  ['cloud', 'agent'],
  ['meter@meter-0001'],
]
const READY_MS = 120_000
const DISK_MIB = 3_072

export interface FogNode {
  machine: Machine
  /** Power on, and all that a start does; ends when every program is ready. */
  boot: () => Promise<void>
  /** The programs that would be started now, if they are whole; else what is wrong with them. */
  runs: () => string
  /** What systemd would have seen after some minutes: the version has proved itself. */
  keep: () => Promise<void>
  /** Ends a program in order. */
  stop: (program: Program) => Promise<void>
}

export interface NodeOptions {
  kind: MachineKind
  /** Empty. */
  folder: string
  /** A Debian root as a tar file. */
  base: string
  releases: Releases
  /** What is installed on it. */
  first: Release
  /** `sync` does nothing and dpkg does not wait for the disk: the campaign has to notice. */
  forgetful: boolean
}

/** Installs and configures everything, as the README and the image do, and switches off in order. */
export async function makeNode(options: NodeOptions): Promise<FogNode> {
  const { kind, folder, base, releases, first, forgetful } = options
  const [disk, lower] = [join(folder, 'disk'), join(folder, 'lower')]
  mkdirSync(folder, { recursive: true })
  makeDisk(disk, DISK_MIB)
  mkdirSync(lower)
  if (kind === 'package') sh('mount', '-o', diskOptions, disk, lower)
  sh('tar', '-xf', base, '--numeric-owner', '-C', lower)
  install(lower, { releases, first })
  if (forgetful) forget(lower)
  if (kind === 'package') sh('umount', lower)
  else moveStateTo(disk, lower, folder)
  return startable(createMachine({ kind, folder, disk, lower }), releases)
}

function install(root: string, { releases, first }: Pick<NodeOptions, 'releases' | 'first'>): void {
  const scripts = join(import.meta.dirname, '../../package')
  mkdirSync(join(root, 'package-test'))
  cpSync(join(scripts, 'configure.sh'), join(root, 'package-test/configure.sh'))
  cpSync(first.deb, join(root, 'package-test/fogmeter.deb'))
  writeFileSync(join(root, 'package-test/repository.asc'), releases.publicKey)
  mountDevices(join(root, 'dev'))
  sh('mount', '-t', 'proc', 'proc', join(root, 'proc'))
  try {
    const inside = (...command: string[]) =>
      sh('chroot', root, 'env', '-i', insidePath, 'HOME=/root', ...command)
    inside('dpkg', '-i', '/package-test/fogmeter.deb')
    inside('/package-test/configure.sh')
    inside('fogmeter', 'pi', 'repository', releases.url, '--key', '/package-test/repository.asc')
  } finally {
    for (const name of ['dev', 'proc']) sh('umount', join(root, name))
  }
  rmSync(join(root, 'package-test/fogmeter.deb'))
}

/** As pi-image/disk.sh has it: stores, configuration and versions on the data partition, the root read-only. */
function moveStateTo(disk: string, lower: string, folder: string): void {
  const data = join(folder, 'data')
  mkdirSync(data)
  mkdirSync(join(lower, 'usr/lib/fogmeter-image'))
  rmSync(join(lower, 'var/lib/fogmeter-versions'), { recursive: true })
  mkdirSync(join(lower, 'var/lib/fogmeter-versions'))
  sh('mount', '-o', diskOptions, disk, data)
  mkdirSync(join(data, 'versions'))
  sh('cp', '-a', join(lower, 'etc/fogmeter'), join(data, 'etc'))
  sh('umount', data)
}

function forget(root: string): void {
  const path = join(root, 'usr/local/sbin/sync')
  writeFileSync(path, '#!/bin/sh\nexit 0\n', { mode: 0o755 })
  writeFileSync(join(root, 'etc/dpkg/dpkg.cfg.d/forgetful'), 'force-unsafe-io\n')
}

function startable(machine: Machine, releases: Releases): FogNode {
  const { root, kind } = machine
  const script = (name: string, ...args: string[]) =>
    machine.run(`/usr/lib/fogmeter/${name}`, ...args)
  return {
    machine,
    async boot() {
      await machine.on()
      // As fogmeter-machine.service does on the image, whose /etc is new each time.
      if (kind === 'image')
        await machine.run(
          'fogmeter',
          'pi',
          'repository',
          releases.url,
          '--key',
          '/package-test/repository.asc',
        )
      await script('versions', 'tidy')
      for (const group of programs)
        await Promise.all(group.map((program) => ready(machine, program)))
      await script('upkeep')
      if (kind === 'package') await machine.run('sh', '-c', installed)
    },
    runs() {
      const at = join(root, 'var/lib/fogmeter-versions')
      const there = existsSync(join(at, 'current/node'))
      return wholeness(
        there ? join(at, readlinkSync(join(at, 'current'))) : join(root, 'usr/lib/fogmeter'),
      )
    },
    keep: async () => void (await script('versions', 'keep')),
    stop: async (program) =>
      void (await machine.run('sh', '-c', `kill -TERM $(cat /run/${program})`)),
  }
}

const installed = `dpkg --audit; [ "$(dpkg-query -W -f '\${db:Status-Abbrev}' fogmeter)" = 'ii ' ]`

/** Starts a unit by run-unit, and waits until its program says that it is ready. */
async function ready(machine: Machine, program: Program): Promise<void> {
  const unit = `exec /usr/lib/fogmeter/run-unit fogmeter-${program}.service`
  const child = machine.spawn(['sh', '-c', `echo $$ >/run/${program}; ${unit}`])
  child.stdout?.resume()
  const said: string[] = []
  await new Promise<void>((resolve, reject) => {
    const late = setTimeout(() => fail('was not ready in time'), READY_MS)
    function fail(what: string): void {
      clearTimeout(late)
      reject(new Error(`${program} ${what}:\n${said.slice(-20).join('\n')}`))
    }
    child.once('exit', () => fail('ended'))
    const lines = createInterface({ input: child.stderr ?? process.stdin })
    lines.on('line', (line) => {
      said.push(line)
      if (/ ended with /.test(line)) fail('ended')
      if (!line.endsWith(': ready')) return
      clearTimeout(late)
      resolve()
    })
  })
}

/** The Debian root that test/package/run keeps, made if it is not there. */
export function debianRoot(architecture: string): string {
  const suite = process.env['SUITE'] ?? 'trixie'
  const path = join(import.meta.dirname, `../../../var/package/${suite}-${architecture}.tar`)
  if (existsSync(path)) return path
  mkdirSync(join(path, '..'), { recursive: true })
  const include = '--include=systemd-sysv,dbus,init-system-helpers'
  const fresh = path.replace(/\.tar$/, '.new.tar') // mmdebstrap goes by the end of a name
  const args = ['--quiet', '--variant=minbase', include, suite, fresh]
  execFileSync('mmdebstrap', args, { stdio: ['ignore', 2, 2] })
  sh('mv', fresh, path)
  return path
}
