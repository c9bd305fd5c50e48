/** What an image holds, read from the finished file itself; no mount, no root. Needs mtools and unsquashfs. */
import { execFileSync } from 'node:child_process'
import { closeSync, openSync, readSync } from 'node:fs'

const SECTOR_BYTES = 512

export interface Partition {
  type: number
  start: number
  bytes: number
}

export interface ImageFacts {
  /** The signature in the partition table, eight hexadecimal digits. */
  diskId: string
  partitions: readonly Partition[]
  /** Volume name of the first partition. */
  bootLabel: string
  /** Paths on the first partition, `kernel.img`, `overlays/x.dtbo`. */
  bootFiles: readonly string[]
  configTxt: string
  cmdline: string
  /** Whether the second partition is a squashfs. */
  squashfs: boolean
  fstab: string
  dataLabel: string
}

/** Where a partition begins in the image; number from 1. */
export function partition(path: string, number: number): Partition {
  const found = readTable(path).partitions[number - 1]
  if (found === undefined) throw new Error(`${path} has no partition ${number}`)
  return found
}

export function readFacts(path: string): ImageFacts {
  const { diskId, partitions } = readTable(path)
  const [boot, root, data] = [1, 2, 3].map((number) => partition(path, number))
  if (!boot || !root || !data) throw new Error(`${path} has not three partitions`)
  const fat = `${path}@@${boot.start}`
  return {
    diskId,
    partitions,
    bootLabel: text(path, boot.start + 71, 11), // Microsoft FAT specification: BS_VolLab of FAT32
    bootFiles: run('mdir', ['-/', '-b', '-i', fat, '::'])
      .split('\n')
      .map((line) => line.replace(/^::\//, ''))
      .filter((line) => line !== '' && !line.endsWith('/')),
    configTxt: run('mtype', ['-i', fat, '::config.txt']),
    cmdline: run('mtype', ['-i', fat, '::cmdline.txt']),
    squashfs: text(path, root.start, 4) === 'hsqs',
    fstab: run('unsquashfs', ['-o', String(root.start), '-cat', path, 'etc/fstab']),
    dataLabel: text(path, data.start + 1_024 + 0x78, 16), // ext4 super block: s_volume_name
  }
}

function readTable(path: string): { diskId: string; partitions: Partition[] } {
  const sector = bytes(path, 0, SECTOR_BYTES)
  const partitions = [0, 1, 2, 3]
    .map((index) => {
      const at = 446 + 16 * index
      return {
        type: sector.readUInt8(at + 4),
        start: sector.readUInt32LE(at + 8) * SECTOR_BYTES,
        bytes: sector.readUInt32LE(at + 12) * SECTOR_BYTES,
      }
    })
    .filter(({ type }) => type !== 0)
  return { diskId: sector.readUInt32LE(440).toString(16).padStart(8, '0'), partitions }
}

function bytes(path: string, at: number, length: number): Buffer {
  const file = openSync(path, 'r')
  try {
    const buffer = Buffer.alloc(length)
    readSync(file, buffer, 0, length, at)
    return buffer
  } finally {
    closeSync(file)
  }
}

/** Text in a field that is filled up with spaces or zeros. */
function text(path: string, at: number, length: number): string {
  return bytes(path, at, length)
    .toString('latin1')
    .replace(/[ \0]+$/, '')
}

function run(program: string, args: string[]): string {
  return execFileSync(program, args, { encoding: 'utf8', maxBuffer: 2 ** 24 })
}
