/** The Node that comes with a package, from the npm package that the lock file names and hashes. */
import { execFileSync, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'

/** Debian's name of an architecture, Node's, and that of the tools that work on its files. */
export const architectures = [
  { debian: 'arm64', node: 'arm64', tools: 'aarch64-linux-gnu-' },
  { debian: 'amd64', node: 'x64', tools: 'x86_64-linux-gnu-' },
] as const

export type Architecture = (typeof architectures)[number]

/** The folder of an unpacked npm package `node-linux-…`: the installed one, or fetched once into var/. */
export function nodeFolder(root: string, { node }: Architecture): string {
  const name = `node-linux-${node}`
  const installed = join(root, 'node_modules', name)
  if (existsSync(join(installed, 'bin/node'))) return installed
  const { version, integrity } = locked(root, name)
  const cache = join(root, 'var/package')
  const folder = join(cache, `${name}-${version}`)
  if (existsSync(folder)) return folder
  process.stderr.write(`fetching ${name} ${version}\n`)
  mkdirSync(cache, { recursive: true })
  const options = { cwd: cache, encoding: 'utf8' } as const
  const file = execFileSync('npm', ['pack', '--silent', `${name}@${version}`], options).trim()
  const archive = join(cache, file)
  const hash = createHash('sha512').update(readFileSync(archive)).digest('base64')
  if (`sha512-${hash}` !== integrity)
    throw new Error(
      `${archive} is not what package-lock.json names; delete it and look where npm gets it`,
    )
  const unpacked = `${folder}.new`
  rmSync(unpacked, { recursive: true, force: true })
  mkdirSync(unpacked)
  execFileSync('tar', ['-xzf', archive, '--strip-components=1', '-C', unpacked])
  renameSync(unpacked, folder)
  rmSync(archive)
  return folder
}

function locked(root: string, name: string): { version: string; integrity: string } {
  const lock = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as {
    packages: Record<string, { version: string; integrity: string } | undefined>
  }
  const entry = lock.packages[`node_modules/${name}`]
  if (entry === undefined) throw new Error(`package-lock.json has no ${name}`)
  return entry
}

/** Removes what only a debugger needs, where a tool for that architecture is installed. */
export function strip(path: string, { node, tools }: Architecture): void {
  const candidates = [`${tools}strip`, ...(process.arch === node ? ['strip'] : [])]
  const tool = candidates.find((name) => spawnSync(name, ['--version']).status === 0)
  if (tool === undefined) {
    process.stderr.write(`${path} is larger than it could be: no ${tools}strip is installed\n`)
    return
  }
  execFileSync(tool, ['--strip-unneeded', path])
}
