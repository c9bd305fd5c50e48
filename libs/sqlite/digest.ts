import { createHash } from 'node:crypto'
import { appendFileSync, closeSync, fstatSync, openSync, readSync, truncateSync } from 'node:fs'

/** Bytes after the last page of a backup: SHA-256 of all before them. SQLite does not look there. */
const digestLength = 32
const smallestPage = 512
const chunkLength = 1 << 20

/** Adds the digest: SQLite's own check misses a bit that flips inside a value. */
export function addDigest(path: string): void {
  appendFileSync(path, hash(path, 0).found)
}

/** Whether the file ends with the digest of the rest. */
export function digestFits(path: string): boolean {
  const { found, kept, length } = hash(path, digestLength)
  return length % smallestPage === 0 && found.equals(kept)
}

/** Leaves the database alone in the file. */
export function dropDigest(path: string, bytes: number): void {
  truncateSync(path, bytes - digestLength)
}

function hash(path: string, tail: number): { found: Buffer; kept: Buffer; length: number } {
  const fd = openSync(path, 'r')
  try {
    const length = Math.max(0, fstatSync(fd).size - tail)
    const sum = createHash('sha256')
    const chunk = Buffer.alloc(chunkLength)
    for (let at = 0; at < length;) {
      const got = readSync(fd, chunk, 0, Math.min(chunkLength, length - at), at)
      if (got === 0) break
      sum.update(chunk.subarray(0, got))
      at += got
    }
    const kept = Buffer.alloc(tail)
    readSync(fd, kept, 0, tail, length)
    return { found: sum.digest(), kept, length }
  } finally {
    closeSync(fd)
  }
}
