/** Where apt is told of the repository that updates come from. */
import { dirname, join } from 'node:path'
import { existsSync, readdirSync } from 'node:fs'
import { rootCertificates } from 'node:tls'
import { CodedError } from '#errors'
import { createFolder, readFile, replaceFile } from '#identity'

const OURS = 'fogmeter.sources'

export interface Repository {
  url: string
  /** The public key that signs it, as `gpg --armor --export` prints it. */
  key: string
}

/** @throws pi/bad-key, identity/… */
export function readRepositoryKey(path: string): string {
  const fix = 'make it with: gpg --armor --export KEY > repository.asc'
  const bytes = Buffer.from(readFile(path, fix))
  const text = bytes.toString('latin1').replaceAll('\r\n', '\n').trim()
  if (armour.test(text)) return `${text}\n`
  throw new CodedError('pi/bad-key', `${path} is no public key in ASCII armour; ${fix}`)
}

/** One block: everything in it goes into a file of apt's, where a line of its own would mean something. */
const armour =
  /^-----BEGIN PGP PUBLIC KEY BLOCK-----\n(?:(?!-----)[\x20-\x7e]*\n)+-----END PGP PUBLIC KEY BLOCK-----$/

/**
 * Writes the source, which counts for nothing but this key's signature, and before it the rule that no
 * package but ours comes from there. Returns what it set, in words. @throws pi/shared-host
 */
export function writeRepository(root: string, { url, key }: Repository): string {
  const { href, hostname } = new URL(url)
  const apt = join(root, 'etc/apt')
  refuseShared(apt, hostname)
  put(join(apt, 'preferences.d/fogmeter'), preferences(hostname.replaceAll(/[[\]]/g, '')))
  put(join(apt, 'sources.list.d', OURS), source(href, key))
  // An image without the system's certificates has those that come with Node.
  const trusted = join(root, 'etc/ssl/certs/ca-certificates.crt')
  if (!existsSync(trusted)) put(trusted, `${rootCertificates.join('\n')}\n`)
  return `updates from ${href}`
}

/** The rule goes by the host: it would shut out the system's own updates from there, and nobody would notice. */
function refuseShared(apt: string, host: string): void {
  const folder = join(apt, 'sources.list.d')
  const more = existsSync(folder) ? readdirSync(folder).map((name) => join(folder, name)) : []
  const others = [join(apt, 'sources.list'), ...more].filter(
    (path) => existsSync(path) && path !== join(folder, OURS),
  )
  const shared = others.find((path) => hostsIn(path).includes(host))
  if (shared === undefined) return
  const message =
    `${shared} gets other packages from ${host}, which would no longer be installed; ` +
    'serve the repository under a host name of its own'
  throw new CodedError('pi/shared-host', message)
}

/** Of every address in a file, comments left out. */
function hostsIn(path: string): string[] {
  const text = Buffer.from(readFile(path, ''))
    .toString('latin1')
    .replaceAll(/^\s*#.*$/gm, '')
  const urls = text.match(/https?:\/\/[^\s\]]+/g) ?? []
  return urls.map((url) => URL.parse(url)?.hostname ?? '')
}

/** apt_preferences(5): by the host, which is ours to say, not by what the repository calls itself. */
function preferences(host: string): string {
  return `Package: fogmeter
Pin: origin "${host}"
Pin-Priority: 500

Package: *
Pin: origin "${host}"
Pin-Priority: -1
`
}

/** sources.list(5): a field's further lines begin with a space, an empty one is a dot. */
function source(url: string, key: string): string {
  const lines = key.trimEnd().split('\n')
  return `Types: deb
URIs: ${url}
Suites: ./
Signed-By:
${lines.map((line) => ` ${line === '' ? '.' : line}\n`).join('')}`
}

function put(path: string, content: string): void {
  createFolder(dirname(path), 0o755)
  replaceFile(path, content)
}
