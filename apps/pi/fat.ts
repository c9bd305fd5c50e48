/** The little of a FAT that mtools does not do: where the content of a file lies. */
import { closeSync, openSync, readSync, writeSync } from 'node:fs'
import { CodedError } from '#errors'

/** A FAT inside a file or device. */
export interface FatPlace {
  path: string
  offset: number
}

/**
 * Zeros for the content of a file, in place: whoever deletes it leaves its bytes. Numbers as the FAT
 * counts them, first and last. @throws pi/fat-failed when they lead out of it, where others begin
 */
export function overwriteClusters(
  { path, offset }: FatPlace,
  ranges: readonly (readonly [first: number, last: number])[],
): void {
  const file = openSync(path, 'r+')
  try {
    const start = Buffer.alloc(64)
    readSync(file, start, 0, start.length, offset)
    const { firstBytes, clusterBytes, endBytes } = layoutOf(start)
    const leadsOut = ([first, last]: readonly [number, number]) =>
      first < 2 || last < first || firstBytes + (last - 1) * clusterBytes > endBytes
    if (ranges.some(leadsOut))
      throw new CodedError('pi/fat-failed', `the FAT of ${path} is damaged; write the image anew`)
    for (const [first, last] of ranges) {
      const zeros = Buffer.alloc((last - first + 1) * clusterBytes)
      writeSync(file, zeros, 0, zeros.length, offset + firstBytes + (first - 2) * clusterBytes)
    }
  } finally {
    closeSync(file)
  }
}

/** Microsoft's FAT specification §3.1: where cluster 2 is, how large each, and where all ends. */
function layoutOf(start: Buffer) {
  const sectorBytes = start.readUInt16LE(11)
  const tableSectors = start.readUInt16LE(22) || start.readUInt32LE(36)
  const rootSectors = Math.ceil((32 * start.readUInt16LE(17)) / sectorBytes)
  const sectors = start.readUInt16LE(14) + start.readUInt8(16) * tableSectors + rootSectors
  const allSectors = start.readUInt16LE(19) || start.readUInt32LE(32)
  return {
    firstBytes: sectors * sectorBytes,
    clusterBytes: start.readUInt8(13) * sectorBytes,
    endBytes: allSectors * sectorBytes,
  }
}
