import { copyFileSync, rmSync, statSync } from 'node:fs'
import { basename, join } from 'node:path'
import { createInterface } from 'node:readline/promises'
import { CodedError } from '#errors'
import type { Card } from '../pi/card.ts'
import type { CardFiles } from '../pi/prepare.ts'

export interface TargetFlags {
  image?: string
  device?: string
  confirm?: string
  files?: string
  deb?: string
}

/** Where the files of a card go; everything about it was checked, nothing is written yet. */
export interface Target {
  /** For people. */
  target: string
  write: (files: CardFiles) => void
}

/** @throws pi/…, cli/usage, cli/declined */
export async function placeFiles(flags: TargetFlags): Promise<Target> {
  const { image, device, files } = flags
  const given = [image, device, files].filter((one) => one !== undefined)
  if (given.length !== 1)
    throw new CodedError(
      'cli/usage',
      'say where to: one of --image FILE, --device DISK, --files FOLDER',
    )
  if (files !== undefined) return intoFolder(files, flags.deb)
  if (image !== undefined) return intoImage(image)
  return intoCard(String(device), flags.confirm)
}

/** A disk has to be named by --device, which looks whether it may be written to, and asks. */
async function intoImage(path: string): Promise<Target> {
  if (statSync(path, { throwIfNoEntry: false })?.isBlockDevice() === true)
    throw new CodedError('cli/usage', `${path} is a disk, not an image: use --device`)
  return intoFat(path)
}

async function intoFat(path: string): Promise<Target> {
  const { bootPartitionOffset } = await import('../pi/boot-partition.ts')
  const { requireMtools, requirePiBoot, writeFat } = await import('../pi/mtools.ts')
  requireMtools()
  const fat = { path, offset: bootPartitionOffset(path) }
  requirePiBoot(fat)
  return { target: path, write: (files) => writeFat(fat, 'fogmeter', files) }
}

async function intoCard(device: string, confirmed: string | undefined): Promise<Target> {
  const { inspectCard } = await import('../pi/card.ts')
  const card = inspectCard(device)
  const target = await intoFat(device)
  await confirmCard(card, confirmed)
  return target
}

/** A name that has to be typed is looked at; a "y" is not. */
async function confirmCard(
  { name, model, bytes }: Card,
  confirmed: string | undefined,
): Promise<void> {
  const what = `${name}, ${(bytes / 1e9).toFixed(1)} GB${model === '' ? '' : `, "${model}"`}`
  if ((confirmed ?? (await askName(what, name))) === name) return
  throw new CodedError('cli/declined', `nothing was written: the card here is ${what}`)
}

async function askName(what: string, name: string): Promise<string> {
  if (!process.stdin.isTTY)
    throw new CodedError('cli/usage', `the card is ${what}; to write to it, add --confirm ${name}`)
  const lines = createInterface({ input: process.stdin, output: process.stderr })
  try {
    return (await lines.question(`Write to the card ${what}? Type its name to go on: `)).trim()
  } finally {
    lines.close()
  }
}

/** Of the files for a card: what enrols, and what opens a network. */
const secrets: readonly string[] = ['token', 'node.toml']

/** Found out here, and not by a Pi that cannot say so. deb(5). */
function requirePackage(path: string, content: Uint8Array): void {
  const isArchive = Buffer.from(content.subarray(0, 8)).toString('latin1') === '!<arch>\n'
  if (isArchive && /^fogmeter_[\w.+~-]+_arm64\.deb$/.test(basename(path))) return
  throw new CodedError(
    'cli/usage',
    `${path} is not fogmeter_VERSION_arm64.deb: npm run package -- --arch arm64`,
  )
}

/** For Raspberry Pi OS: what its cloud-init reads, and the package. */
async function intoFolder(folder: string, deb: string | undefined): Promise<Target> {
  const { cloudInitFiles } = await import('../pi/cloud-init.ts')
  const { nodeConfig, parseConfig } = await import('#config')
  const { createFolder, readFile, replaceFile } = await import('#identity')
  const { systemRandom } = await import('#service')
  const { toHex } = await import('#bytes')
  if (deb === undefined)
    throw new CodedError('cli/usage', '--files also needs --deb FILE, the package for arm64')
  requirePackage(deb, readFile(deb, 'make it with "npm run package"'))
  const write = (files: CardFiles) => {
    const text = String(files.get('node.toml'))
    const own = join(folder, 'fogmeter')
    createFolder(own)
    copyFileSync(deb, join(own, basename(deb)))
    for (const [name, content] of files) {
      if (content === null) rmSync(join(own, name), { force: true })
      else replaceFile(join(own, name), content, secrets.includes(name))
    }
    const config = parseConfig(nodeConfig, text, join(own, 'node.toml'))
    const instance = `fogmeter-${toHex(systemRandom(8))}`
    for (const [name, content] of cloudInitFiles({ config, instance, deb: basename(deb) }))
      replaceFile(join(folder, name), content, true)
  }
  return { target: folder, write }
}
