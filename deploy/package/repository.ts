/**
 * A repository for apt, of one folder that any web server can serve: packages, `Packages`, and `InRelease`,
 * which says what `Packages` has to be, until when that counts, and who says so.
 */
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { CodedError } from '#errors'
import { filesBelow } from './files.ts'
import { signedBefore } from './signed-before.ts'

export interface RepositoryOptions {
  /** The folder; what is in it stays. */
  folder: string
  /** Packages to add. */
  debs: readonly string[]
  /** Which of gpg's secret keys signs: a fingerprint or a user id. */
  signKey: string
  /** After so many days without another run, nodes accept nothing more from here. */
  validDays: number
  /** Its date, in seconds since 1970. */
  epochS: number
}

const DAY_S = 86_400
const pool = 'pool'

/** What `InRelease` says of a file. */
interface Sum {
  sha256: string
  bytes: number
}

/**
 * Adds packages and signs the list anew; `InRelease` changes last, in one step. Whoever can write to the
 * folder gets nothing signed by it: what is there already must be as it was signed. Returns the names of
 * all packages in it.
 * @throws repository/not-ours, changed, not-signed, strange; then nothing was added
 */
export function makeRepository(options: RepositoryOptions): string[] {
  const { folder, debs, signKey } = options
  for (const deb of debs) checkPackage(deb, join(folder, pool, basename(deb)))
  const there = existsSync(join(folder, pool)) ? filesBelow(join(folder, pool)) : []
  const names = new Set([...there, ...debs.map((deb) => basename(deb))])
  const where = (name: string) =>
    debs.find((deb) => basename(deb) === name) ?? join(folder, pool, name)
  const known = signedBefore(folder)
  const entries = [...names]
    .filter((name) => name.endsWith('.deb'))
    .toSorted()
    .map((name) => {
      const sum = sumOf(readFileSync(where(name)))
      const path = `${pool}/${name}`
      if (where(name) === join(folder, path) && known.get(path) !== sum.sha256) throw strange(path)
      return { path, sum, stanza: stanza(where(name), path, sum) }
    })
  const packages = entries.map((entry) => entry.stanza).join('\n')
  const lists = new Map<string, Uint8Array>([
    ['Packages', Buffer.from(packages)],
    ['Packages.gz', gzipSync(packages, { level: 9 })],
  ])
  const sums = new Map(entries.map(({ path, sum }) => [path, sum]))
  for (const [name, content] of lists) sums.set(name, sumOf(content))
  const signed = clearSign(releaseFile(sums, options), signKey)
  mkdirSync(join(folder, pool), { recursive: true })
  for (const deb of debs) place(folder, `${pool}/${basename(deb)}`, readFileSync(deb))
  for (const [name, content] of lists) place(folder, name, content)
  place(folder, 'InRelease', signed)
  return [...names].toSorted()
}

function checkPackage(deb: string, there: string): void {
  const [name, version, architecture] = ['Package', 'Version', 'Architecture'].map((field) =>
    fieldOf(deb, field),
  )
  // Checked by its name too: a node asks for the version it wants, and must get that one for ever.
  if (name !== 'fogmeter' || basename(deb) !== `fogmeter_${version}_${architecture}.deb`)
    throw new CodedError(
      'repository/not-ours',
      `${deb} is not fogmeter_VERSION_ARCHITECTURE.deb: make it with "npm run package"`,
    )
  if (existsSync(there) && !readFileSync(there).equals(readFileSync(deb)))
    throw new CodedError(
      'repository/changed',
      `${there} is there with another content: a version is published once; raise it in package.json`,
    )
}

function fieldOf(deb: string, field: string): string {
  return readControl(deb, [field]).trim()
}

function readControl(deb: string, fields: readonly string[] = []): string {
  try {
    const stdio: 'pipe'[] = ['pipe', 'pipe', 'pipe']
    return execFileSync('dpkg-deb', ['-f', deb, ...fields], { encoding: 'utf8', stdio })
  } catch (error) {
    throw new CodedError('repository/not-ours', `${deb} is no package`, { cause: error })
  }
}

function strange(path: string): CodedError {
  return new CodedError(
    'repository/strange',
    `${path} is not there as you signed it; remove it, or name your own file on the command line as well`,
  )
}

/** What apt has to know of one package. */
function stanza(deb: string, name: string, { sha256, bytes }: Sum): string {
  const control = readControl(deb).trimEnd()
  return `${control}\nFilename: ${name}\nSize: ${bytes}\nSHA256: ${sha256}\n`
}

/** RFC 1123 time in UTC, as repositories have it. */
function date(seconds: number): string {
  return new Date(seconds * 1_000).toUTCString().replace('GMT', 'UTC')
}

export function releaseFile(
  files: ReadonlyMap<string, Sum>,
  { epochS, validDays }: Pick<RepositoryOptions, 'epochS' | 'validDays'>,
): string {
  const sums = Array.from(
    files,
    ([name, { sha256, bytes }]) => ` ${sha256} ${String(bytes).padStart(8)} ${name}`,
  )
  return `${[
    'Origin: Fogmeter',
    'Label: Fogmeter',
    'Architectures: amd64 arm64',
    'Description: signed packages of Fogmeter',
    `Date: ${date(epochS)}`,
    `Valid-Until: ${date(epochS + validDays * DAY_S)}`,
    'SHA256:',
    ...sums,
  ].join('\n')}\n`
}

function clearSign(text: string, key: string): Buffer {
  const args = ['--batch', '--yes', '--digest-algo', 'SHA512', '--local-user', key, '--clearsign']
  try {
    return execFileSync('gpg', args, { input: text, stdio: ['pipe', 'pipe', 'pipe'] })
  } catch (error) {
    const said = String((error as { stderr?: Buffer }).stderr ?? error).trim()
    const fix = 'is it a secret key of this user? gpg --list-secret-keys'
    throw new CodedError('repository/not-signed', `gpg does not sign as ${key}; ${fix}\n${said}`)
  }
}

function place(folder: string, name: string, content: Uint8Array): void {
  const temporary = join(folder, `${name}.new`)
  try {
    writeFileSync(temporary, content, { mode: 0o644 })
    renameSync(temporary, join(folder, name))
  } finally {
    rmSync(temporary, { force: true })
  }
}

export function sumOf(content: Uint8Array): Sum {
  return { sha256: createHash('sha256').update(content).digest('hex'), bytes: content.length }
}
