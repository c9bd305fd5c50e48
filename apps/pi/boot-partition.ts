/** Where the FAT partition of an image or a card begins: from its partition table, MBR or GPT. */
import { closeSync, openSync, readSync, statSync } from 'node:fs'
import { CodedError } from '#errors'

const SECTOR = 512
const ENTRY = 16
/** MBR types: FAT16, FAT32, each with and without LBA, and the EFI system partition. */
const FAT_TYPES: readonly number[] = [0x06, 0x0b, 0x0c, 0x0e, 0xef]
const PROTECTIVE = 0xee
/** UEFI §5.3: type GUIDs as they lie on the disk, of an EFI system and a basic data partition. */
const GPT_TYPES: readonly string[] = [
  '28732ac11ff8d211ba4b00a0c93ec93b',
  'a2a0d0ebe5b9334487c068b6b72699c7',
]
const GPT_ENTRIES = 128
/** What images come packed as, by their first bytes. */
const packed: readonly [magic: string, unpack: string][] = [
  ['fd377a585a00', 'xz --decompress --keep'],
  ['28b52ffd', 'zstd --decompress'],
  ['1f8b', 'gzip --decompress --keep'],
  ['504b0304', 'unzip'],
]

/** The offset in bytes of the first FAT partition. @throws pi/no-file, packed-image, cut-image, no-boot-partition */
export function bootPartitionOffset(path: string): number {
  const file = open(path)
  try {
    const sector = read(file, 0, SECTOR)
    refusePacked(path, sector)
    const start = isTable(sector) ? firstFat(file, sector) : null
    if (start === null) throw noPartition(path)
    const offset = start * SECTOR
    if (!isFat(read(file, offset, SECTOR))) throw noPartition(path)
    refuseCut(path, file, sector)
    return offset
  } finally {
    closeSync(file)
  }
}

function open(path: string): number {
  try {
    if (statSync(path).isDirectory()) throw Object.assign(new Error(), { code: 'EISDIR' })
    return openSync(path, 'r')
  } catch (error) {
    const reason = (error as NodeJS.ErrnoException).code
    const message = `${path} cannot be read (${reason}); name the image of a fog node, or a card`
    throw new CodedError('pi/no-file', message, { cause: error })
  }
}

function read(file: number, offset: number, length: number): Buffer {
  const bytes = Buffer.alloc(length)
  readSync(file, bytes, 0, length, offset)
  return bytes
}

/** Boot signature of both a partition table and a FAT. */
function isTable(sector: Buffer): boolean {
  return sector[510] === 0x55 && sector[511] === 0xaa
}

/** Its last sector is there, whatever kind of file it is. A card would take the rest for its own. */
function refuseCut(path: string, file: number, sector: Buffer): void {
  for (let at = 446; at < 446 + 4 * ENTRY; at += ENTRY) {
    const [start, count] = [sector.readUInt32LE(at + 8), sector.readUInt32LE(at + 12)]
    if (count === 0 || sector[at + 4] === PROTECTIVE) continue
    if (readSync(file, Buffer.alloc(SECTOR), 0, SECTOR, (start + count - 1) * SECTOR) === SECTOR)
      continue
    const message = `${path} ends before its partitions do; copy or unpack it again`
    throw new CodedError('pi/cut-image', message)
  }
}

function isFat(sector: Buffer): boolean {
  const name = sector.toString('latin1', 54, 62) + sector.toString('latin1', 82, 90)
  return isTable(sector) && /FAT(16|32)/.test(name)
}

function firstFat(file: number, sector: Buffer): number | null {
  for (let at = 446; at < 446 + 4 * ENTRY; at += ENTRY) {
    const type = sector[at + 4] ?? 0
    if (type === PROTECTIVE) return firstGptFat(file)
    if (FAT_TYPES.includes(type)) return sector.readUInt32LE(at + 8)
  }
  return null
}

/** UEFI §5.3.2: the header lies in sector 1 and says where its entries are. */
function firstGptFat(file: number): number | null {
  const header = read(file, SECTOR, SECTOR)
  if (header.toString('latin1', 0, 8) !== 'EFI PART') return null
  const [first, size] = [Number(header.readBigUInt64LE(72)), header.readUInt32LE(84)]
  if (size < 128 || size > 4_096) return null
  for (let index = 0; index < GPT_ENTRIES; index++) {
    const entry = read(file, first * SECTOR + index * size, 48)
    if (GPT_TYPES.includes(entry.toString('hex', 0, 16))) return Number(entry.readBigUInt64LE(32))
  }
  return null
}

function refusePacked(path: string, sector: Buffer): void {
  const start = sector.toString('hex', 0, 8)
  const found = packed.find(([magic]) => start.startsWith(magic))
  if (found !== undefined)
    throw new CodedError('pi/packed-image', `${path} is packed; first run: ${found[1]} ${path}`)
}

function noPartition(path: string): CodedError {
  return new CodedError(
    'pi/no-boot-partition',
    `${path} has no FAT boot partition; is it the image of a Raspberry Pi, and is it whole?`,
  )
}
