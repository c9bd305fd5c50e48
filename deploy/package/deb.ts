/** Makes a .deb of a staged tree, the same bytes each time. */
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { filesBelow, type Tree } from './files.ts'

export interface DebOptions {
  root: string
  version: string
  architecture: string
  epochS: number
  /** Where the package goes. */
  out: string
}

/** better-sqlite3 asks for glibc 2.34, Node for the others; Debian 12 and all that came after has them. */
const depends = [
  'libc6 (>= 2.34)',
  'libgcc-s1',
  'libstdc++6 (>= 5)',
  'init-system-helpers (>= 1.54)',
  'systemd | systemd-standalone-sysusers',
]

const description = `secure smart metering over MQTT with small computers as fog nodes
 Meters seal and sign their readings and publish them to a broker on a nearby
 Raspberry Pi. The agent there verifies them, adds them up, and sends encrypted
 summaries on to the cloud, where a service keeps them in SQLite and answers
 questions.
 .
 This package holds all programs (broker, agent, cloud service, meter and the
 command line), the Node.js they run on, and a systemd unit for each. None is
 started before it is configured.`

export function makeDeb(
  tree: Tree,
  { root, version, architecture, epochS, out }: DebOptions,
): void {
  const files = filesBelow(tree.root)
  const bytes = files.map((file) => 1_024 * Math.ceil(statSync(join(tree.root, file)).size / 1_024))
  const control = [
    'Package: fogmeter',
    `Version: ${version}`,
    `Architecture: ${architecture}`,
    'Section: net',
    'Priority: optional',
    'Maintainer: Fogmeter maintainers <maintainers@fogmeter.invalid>',
    `Installed-Size: ${bytes.reduce((sum, size) => sum + size, 0) / 1_024}`,
    `Depends: ${depends.join(', ')}`,
    `Description: ${description}`,
  ]
  tree.write('DEBIAN/control', `${control.join('\n')}\n`)
  const conffiles = files.filter((file) => file.startsWith('etc/'))
  tree.write('DEBIAN/conffiles', lines(conffiles.map((file) => `/${file}`)))
  const sums = files.filter((file) => !file.startsWith('etc/'))
  tree.write('DEBIAN/md5sums', lines(sums.map((file) => `${md5(join(tree.root, file))}  ${file}`)))
  for (const script of ['postinst', 'prerm', 'postrm'])
    tree.copy(join(root, 'deploy/package/debian', script), `DEBIAN/${script}`, 0o755)
  // One thread: with several, the bytes depend on how many there are.
  const flags = ['--root-owner-group', '-Zxz', '-z2', '--threads-max=1', '--build']
  execFileSync('dpkg-deb', [...flags, tree.root, out], {
    env: { ...process.env, SOURCE_DATE_EPOCH: String(epochS) },
    stdio: ['ignore', 'ignore', 'inherit'],
  })
}

function lines(all: readonly string[]): string {
  return all.map((line) => `${line}\n`).join('')
}

function md5(path: string): string {
  return createHash('md5').update(readFileSync(path)).digest('hex')
}
