/** A memory card in this machine, looked at before anything is written to it. */
import { existsSync, readdirSync, readFileSync, realpathSync, statSync } from 'node:fs'
import { basename, join } from 'node:path'
import { CodedError } from '#errors'

export interface Card {
  /** As the kernel calls it, without /dev/. */
  name: string
  /** What it says about itself; may be empty. */
  model: string
  bytes: number
}

export interface CardSystem {
  /** Where sysfs is mounted. */
  sys: string
  /** As /proc/self/mounts. */
  mounts: string
}

const SECTOR = 512

/**
 * Only a whole, removable disk of which nothing is mounted.
 * @throws pi/no-file, pi/not-a-card, pi/not-removable, pi/card-mounted
 */
export function inspectCard(
  path: string,
  { sys, mounts }: CardSystem = { sys: '/sys', mounts: '/proc/self/mounts' },
): Card {
  const name = basename(blockDevice(path))
  const folder = join(sys, 'class/block', name)
  if (!existsSync(folder) || existsSync(join(folder, 'partition')))
    throw new CodedError('pi/not-a-card', `${path} is not a whole disk; name the card, not a part`)
  if (!isRemovable(folder))
    throw new CodedError(
      'pi/not-removable',
      `${path} is built into this machine; only removable cards are written to`,
    )
  const own = [name, ...readdirSync(folder).filter((entry) => entry.startsWith(name))]
  const mounted = mountsIn(mounts).find(([device]) => own.includes(basename(device)))
  if (mounted !== undefined)
    throw new CodedError(
      'pi/card-mounted',
      `${mounted[0]} is mounted on ${mounted[1]}; run: umount ${mounted[1]}`,
    )
  const model = ['device/model', 'device/name'].map((file) => read(join(folder, file)))
  const bytes = SECTOR * Number(read(join(folder, 'size')))
  return { name, model: model.find((text) => text !== '') ?? '', bytes }
}

/** Links as in /dev/disk/by-id are followed. */
function blockDevice(path: string): string {
  if (!existsSync(path))
    throw new CodedError('pi/no-file', `${path} does not exist; is the card in?`)
  if (statSync(path).isBlockDevice()) return realpathSync(path)
  throw new CodedError('pi/not-a-card', `${path} is not a disk; for a file use --image`)
}

/** USB readers say so; a slot of its own names the kind of card in it. */
function isRemovable(folder: string): boolean {
  return read(join(folder, 'removable')) === '1' || read(join(folder, 'device/type')) === 'SD'
}

/** Device and place; a blank in a name is an octal escape there, which no device of ours has. */
function mountsIn(path: string): (readonly [string, string])[] {
  const lines = readFileSync(path, 'utf8').split('\n')
  return lines.map((line) => line.split(' ')).map(([device = '', place = '']) => [device, place])
}

function read(path: string): string {
  return existsSync(path) ? readFileSync(path, 'utf8').trim() : ''
}
