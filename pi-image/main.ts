/**
 * pi-image/build [--config FILE] [--out DIR] [--refresh]
 *
 * Makes the image of a card with Fogmeter's package from dist/, its manifest for Raspberry Pi Imager, bill
 * of materials, checksums and signature. README.md says what is in it and what it needs.
 */
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { copyFileSync, createReadStream, existsSync, mkdirSync, mkdtempSync } from 'node:fs'
import { readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { basename, join, resolve } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { pathToFileURL } from 'node:url'
import { parseArgs } from 'node:util'
import { loadConfig } from '#config'
import { CodedError } from '#errors'
import packageFile from '../package.json' with { type: 'json' }
import { base } from './base.ts'
import { checkImage } from './checks.ts'
import { imageConfig, type ImageConfig } from './config.ts'
import { readFacts } from './facts.ts'
import { makeManifest } from './manifest.ts'
import { modelsOf } from './models.ts'
import { imageBill, parsePackages } from './sbom.ts'
import { sign } from './sign.ts'

const here = import.meta.dirname
const root = join(here, '..')
const { version } = packageFile
/** What a release may weigh: ten minutes of a slow line. */
const LARGEST_BYTES = 180_000_000

const cache = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'fogmeter-image')

function say(text: string): void {
  process.stderr.write(`${String(Math.round(performance.now() / 1_000)).padStart(4)} s  ${text}\n`)
}

async function build(config: ImageConfig, out: string, refresh: boolean): Promise<void> {
  const deb = join(root, `dist/fogmeter_${version}_arm64.deb`)
  if (!existsSync(deb))
    throw new CodedError('image/no-package', `${deb} is missing: npm run package -- --arch arm64`)
  mkdirSync(out, { recursive: true })
  const baseTar = base(here, config, { cache, refresh })
  say(`base ${basename(baseTar)}`)
  const image = join(out, `fogmeter-pi-${version}-arm64.img`)
  const work = mkdtempSync(join(out, 'work-'))
  try {
    const env = environment(config, { deb, baseTar })
    run('root.sh', [baseTar, deb, work], env)
    say('root')
    run('disk.sh', [work, image], env)
    say(`image, ${statSync(image).size} bytes`)
    const problems = checkImage(readFacts(image), modelsOf(config.kernel))
    if (problems.length > 0) throw new CodedError('image/unsound', problems.join('\n'))
    const packages = parsePackages(readFileSync(join(work, 'packages.tsv'), 'utf8'))
    await release(config, { image, date: dateOf(env), packages })
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}

/** Dates and names of everything inside: the same for the same package, base and configuration. */
function environment(
  config: ImageConfig,
  { deb, baseTar }: { deb: string; baseTar: string },
): Record<string, string> {
  const committed = execFileSync('git', ['log', '-1', '--format=%ct'], { cwd: root })
  const baseS = Math.floor(statSync(baseTar).mtimeMs / 1_000)
  const { watchdogSeconds, securityUpdates, sshKeys = '' } = config
  const epochS = Number(process.env['SOURCE_DATE_EPOCH'] ?? Math.max(Number(committed), baseS))
  const id = createHash('sha256').update(readFileSync(deb)).update(basename(baseTar))
  id.update(JSON.stringify({ epochS, watchdogSeconds, securityUpdates, sshKeys }))
  return {
    SOURCE_DATE_EPOCH: String(epochS),
    BUILD_ID: id.digest('hex').slice(0, 8),
    NODE_NAME: 'fogmeter',
    WATCHDOG_SECONDS: String(watchdogSeconds),
    SECURITY_UPDATES: securityUpdates ? '1' : '',
    SSH_KEYS: sshKeys,
    KERNEL: config.kernel,
  }
}

function dateOf(env: Record<string, string>): string {
  return new Date(1_000 * Number(env['SOURCE_DATE_EPOCH'])).toISOString().slice(0, 10)
}

interface Release {
  image: string
  date: string
  packages: ReturnType<typeof parsePackages>
}

/** Everything beside the image, and the image as it is downloaded. */
async function release(config: ImageConfig, { image, date, packages }: Release): Promise<void> {
  const out = join(image, '..')
  const packed = `${image}.xz`
  execFileSync('xz', ['-T0', '-6', '--keep', '--force', image], { stdio: 'inherit' })
  const download = await digest(packed)
  say(`${basename(packed)}, ${(download.bytes / 1e6).toFixed(1)} MB`)
  if (download.bytes > LARGEST_BYTES)
    throw new CodedError('image/too-large', `${packed} is more than ${LARGEST_BYTES} bytes`)
  const manifest = makeManifest({
    version,
    folder: config.publishUrl ?? pathToFileURL(resolve(out)).href,
    file: basename(packed),
    image: await digest(image),
    download,
    date,
    devices: modelsOf(config.kernel).map(({ device }) => device),
  })
  const name = basename(image, '.img')
  copyFileSync(join(here, 'fogmeter.svg'), join(out, 'fogmeter.svg'))
  const texts = {
    [`${name}.rpi-imager-manifest`]: `${JSON.stringify(manifest, null, 2)}\n`,
    [`${name}.cdx.json`]: imageBill(root, packages, config.suite),
  }
  for (const [file, text] of Object.entries(texts)) writeFileSync(join(out, file), text)
  const sums = [basename(packed), basename(image), 'fogmeter.svg', ...Object.keys(texts)]
  await sign(out, sums, config.signingKey, digest)
  say(config.signingKey === undefined ? 'done, not signed: no signing_key' : 'done, signed')
  for (const file of [...sums, 'SHA256SUMS']) process.stdout.write(`${join(out, file)}\n`)
}

async function digest(path: string): Promise<{ bytes: number; sha256: string }> {
  const hash = createHash('sha256')
  await pipeline(createReadStream(path), hash)
  return { bytes: statSync(path).size, sha256: hash.digest('hex') }
}

function run(script: string, args: string[], env: Record<string, string>): void {
  execFileSync(join(here, script), args, {
    stdio: ['ignore', 2, 2],
    env: { ...process.env, ...env },
  })
}

try {
  const { values } = parseArgs({
    options: {
      config: { type: 'string', default: join(here, 'config.toml') },
      out: { type: 'string', default: join(root, 'dist/pi-image') },
      refresh: { type: 'boolean', default: false },
    },
  })
  const config: ImageConfig = loadConfig(imageConfig, values.config)
  await build(config, resolve(values.out), values.refresh)
} catch (error) {
  const usage = error instanceof TypeError && 'code' in error
  const wrong = error instanceof CodedError && error.code.startsWith('config/')
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
  process.exitCode = usage || wrong ? 2 : 1
}
