import { closeSync, openSync, readSync, writeSync } from 'node:fs'
import { CodedError } from '#errors'
import type { Flash } from '#flash-store'
import type { Random } from '#ports'

/** The chip lost its power in the middle of something: nothing of the program may go on. */
export class PowerCut extends Error {
  constructor() {
    super('the power is off')
  }
}

export interface FlashChip extends Flash {
  /** How often each sector was erased, over all lives. */
  readonly erases: Uint32Array
  /** Pages programmed, also in part, since this object was made. */
  readonly programs: number
  readonly off: boolean
  /** The power goes in the middle of the n-th page programmed or sector erased from now; 0: the next. */
  cutAfter(operations: number): void
  /** The power goes now. */
  cut(): void
  /** The power is back, and what is on the flash is what there is. */
  powerOn(): void
  close(): void
}

/** Written at once; a longer write is several, and the power can go between them (W25Q32 §6: 256). */
const PAGE_BYTES = 256
const ERASED = 0xff

/**
 * Serial NOR flash, in memory or in a file that has the number of erasures of each sector behind the
 * content. An interrupted page or erasure leaves any mixture of old and new bits.
 */
export function openFlashChip(options: {
  sectors: number
  sectorBytes: number
  random: Random
  path?: string
}): FlashChip {
  const { sectors, sectorBytes, random, path } = options
  const size = sectors * sectorBytes
  const content = new Uint8Array(size).fill(ERASED)
  const erases = new Uint32Array(sectors)
  const file = path === undefined ? null : openImage(path, content, erases)
  let left = Infinity
  let off = false
  let programs = 0

  /** Whether this operation is the one that the power interrupts. */
  function interrupted(): boolean {
    if (off) throw new PowerCut()
    left -= 1
    return left < 0
  }

  function write(at: number, bytes: Uint8Array): void {
    content.set(bytes, at)
    if (file !== null) writeSync(file, bytes, 0, bytes.length, at)
  }

  function programPage(at: number, bytes: Uint8Array): void {
    const torn = interrupted()
    programs += 1
    const mask = torn ? random(bytes.length) : null
    const next = bytes.map((byte, i) => {
      const before = content[at + i]!
      // A cell that is 0 stays 0: asking it to become 1 is the driver's mistake, not the flash's.
      if ((byte & ~before) !== 0) throw notErased(at + i)
      return mask === null ? byte : before & (byte | mask[i]!)
    })
    write(at, next)
    if (torn) fail()
  }

  function fail(): never {
    off = true
    throw new PowerCut()
  }

  return {
    sectors,
    sectorBytes,
    erases,
    get programs() {
      return programs
    },
    get off() {
      return off
    },
    read(at, length) {
      if (off) throw new PowerCut()
      if (at < 0 || at + length > size) throw outside(at)
      return content.slice(at, at + length)
    },
    program(at, bytes) {
      if (at < 0 || at + bytes.length > size) throw outside(at)
      for (let done = 0; done < bytes.length;) {
        const room = PAGE_BYTES - ((at + done) % PAGE_BYTES)
        programPage(at + done, bytes.subarray(done, done + room))
        done += room
      }
    },
    erase(sector) {
      if (!Number.isInteger(sector) || sector < 0 || sector >= sectors) throw outside(sector)
      const torn = interrupted()
      const at = sector * sectorBytes
      const mask = torn ? random(sectorBytes) : null
      erases[sector]! += 1
      if (file !== null) writeSync(file, erases, 0, undefined, size)
      write(
        at,
        mask === null
          ? new Uint8Array(sectorBytes).fill(ERASED)
          : content.subarray(at, at + sectorBytes).map((byte, i) => byte | mask[i]!),
      )
      if (torn) fail()
    },
    cutAfter: (operations) => (left = operations),
    cut: () => (off = true),
    powerOn() {
      off = false
      left = Infinity
    },
    close: () => {
      if (file !== null) closeSync(file)
    },
  }
}

/** Reads what an earlier run left, or makes an empty image. Throws `emulator/bad-flash`. */
function openImage(path: string, content: Uint8Array, erases: Uint32Array): number {
  let file: number
  try {
    file = openSync(path, 'r+')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw badImage(path, error)
    file = openSync(path, 'wx+', 0o600)
    writeSync(file, content, 0, content.length, 0)
    writeSync(file, erases, 0, undefined, content.length)
    return file
  }
  const wear = new Uint8Array(erases.buffer)
  const read = readSync(file, content, 0, content.length, 0)
  const rest = readSync(file, wear, 0, wear.length, content.length)
  if (read + rest === content.length + wear.length) return file
  closeSync(file)
  throw badImage(path)
}

function badImage(path: string, cause?: unknown): CodedError {
  const message = `${path} is no flash image of this size: use the profile it was made with, or a new file`
  return new CodedError('emulator/bad-flash', message, { cause })
}

function notErased(at: number): Error {
  return new Error(`flash address ${at} was programmed without having been erased`)
}

function outside(at: number): Error {
  return new Error(`there is no flash at ${at}`)
}
