/**
 * Frames behind each other in sectors used in turn, so that all wear alike:
 *
 *   sector   header · frame · frame · … · free (ff)
 *   header   checksum of ('FMS1' · sequence number, 4 bytes), 16 bytes in all
 *   frame    length, 2 bytes · checksum of the payload · ff up to a multiple of 4
 *
 * A sector counts once its first frame is whole. A frame that the power tore ends its sector.
 */
import { addChecksum, concat, dropChecksum, equal, utf8 } from '#bytes'
import { CodedError } from '#errors'
import type { Flash } from './flash.ts'

const MAGIC = utf8('FMS1')
const HEADER_BYTES = 16
const LENGTH_BYTES = 2
const CHECKSUM_BYTES = 5
const ERASED = 0xff
/** `dropChecksum` lets through what never had one. */
const CHECKSUM_MARK = 0xc5

export interface Log {
  /** The newest sector, -1 while there is none. */
  readonly newest: number
  /** Adds a frame to the newest sector and returns where it is; 0 when there is no room. */
  append(payload: Uint8Array): number
  /** Begins the next sector with this frame and returns where it is; what was there is gone. */
  begin(payload: Uint8Array): number
  /** The payload of the frame at this place. */
  read(place: number): Uint8Array
  /** The first frame of the newest sector. */
  first(): Uint8Array
  /**
   * Every frame of the sector this many before the newest, in order. Nothing is appended to a log
   * whose newest sector was not replayed.
   */
  replay(back: number, visit: (place: number, payload: Uint8Array) => void): void
  sectorOf(place: number): number
  /** How many sectors before the newest a place is. */
  age(place: number): number
}

/** Finds the newest sector; an empty or strange flash has none. */
export function openLog(flash: Flash): Log {
  const { sectors, sectorBytes } = flash
  let newest = -1
  let sequence = 0
  /** Where the next frame goes. */
  let at = 0

  const startOf = (sector: number) => sector * sectorBytes
  const sectorOf = (place: number) => Math.floor(place / sectorBytes)
  const before = (back: number) => (newest - back + sectors) % sectors

  function find(): void {
    const found: { sector: number; sequence: number }[] = []
    for (let sector = 0; sector < sectors; sector++) {
      const number = sequenceIn(flash.read(startOf(sector), HEADER_BYTES))
      if (number !== null) found.push({ sector, sequence: number })
    }
    found.sort((a, b) => b.sequence - a.sequence)
    // The checksum of one or two headers, not of all: a chip does this at every waking.
    const whole = found.find(
      ({ sector, sequence: number }) => hasHeader(sector, number) && firstFrame(sector) !== null,
    )
    if (whole === undefined) return
    newest = whole.sector
    sequence = whole.sequence
    // Nothing is added before `replay` has seen what is there.
    at = startOf(newest) + sectorBytes
  }

  function hasHeader(sector: number, number: number): boolean {
    return equal(flash.read(startOf(sector), HEADER_BYTES), header(number))
  }

  function firstFrame(sector: number): Uint8Array | null {
    return frameAt(startOf(sector) + HEADER_BYTES, startOf(sector) + sectorBytes)
  }

  /** Visits the whole frames of a sector; returns where they end. */
  function visitFrames(
    sector: number,
    visit: (place: number, payload: Uint8Array) => void,
  ): number {
    const end = startOf(sector) + sectorBytes
    let place = startOf(sector) + HEADER_BYTES
    while (place + LENGTH_BYTES <= end) {
      const payload = frameAt(place, end)
      if (payload === null) break
      visit(place, payload)
      place += spaceFor(payload)
    }
    return place
  }

  /** Flash behind a torn frame is no place to go on. */
  function isFree(from: number, to: number): boolean {
    for (const byte of flash.read(from, to - from)) if (byte !== ERASED) return false
    return true
  }

  function frameAt(place: number, end: number): Uint8Array | null {
    const [high = 0, low = 0] = flash.read(place, LENGTH_BYTES)
    const length = high * 256 + low
    if (place + LENGTH_BYTES + length > end) return null
    const bytes = flash.read(place + LENGTH_BYTES, length)
    if (bytes[0] !== CHECKSUM_MARK) return null
    try {
      return dropChecksum(bytes)
    } catch {
      return null
    }
  }

  find()
  return {
    get newest() {
      return newest
    },
    append(payload) {
      const place = at
      const end = startOf(newest) + sectorBytes
      if (newest < 0 || place + spaceFor(payload) > end) return 0
      // Before programming: what is begun here is never begun again.
      at += spaceFor(payload)
      flash.program(place, frame(payload))
      return place
    },
    begin(payload) {
      if (HEADER_BYTES + spaceFor(payload) > sectorBytes) throw tooLarge(payload)
      newest = (newest + 1) % sectors
      sequence += 1
      const place = startOf(newest) + HEADER_BYTES
      at = place + spaceFor(payload)
      flash.erase(newest)
      flash.program(startOf(newest), concat(header(sequence), frame(payload)))
      return place
    },
    read(place) {
      const payload = frameAt(place, startOf(sectorOf(place)) + sectorBytes)
      if (payload === null) throw damaged()
      return payload
    },
    first() {
      const payload = firstFrame(newest)
      if (payload === null) throw damaged()
      return payload
    },
    replay(back, visit) {
      const sector = before(back)
      if (!hasHeader(sector, sequence - back)) throw damaged()
      const place = visitFrames(sector, visit)
      const end = startOf(sector) + sectorBytes
      if (back === 0) at = isFree(place, end) ? place : end
    },
    sectorOf,
    age: (place) => (newest - sectorOf(place) + sectors) % sectors,
  }
}

function header(sequence: number): Uint8Array {
  const out = new Uint8Array(HEADER_BYTES).fill(ERASED)
  const content = new Uint8Array(MAGIC.length + 4)
  content.set(MAGIC)
  new DataView(content.buffer).setUint32(MAGIC.length, sequence)
  out.set(addChecksum(content))
  return out
}

/** The number a header seems to have; null for what does not even look like one. */
function sequenceIn(bytes: Uint8Array): number | null {
  const looks = MAGIC.every((byte, i) => bytes[CHECKSUM_BYTES + i] === byte)
  if (!looks) return null
  const at = CHECKSUM_BYTES + MAGIC.length
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length).getUint32(at)
}

function frame(payload: Uint8Array): Uint8Array {
  const out = new Uint8Array(spaceFor(payload)).fill(ERASED)
  const length = CHECKSUM_BYTES + payload.length
  out[0] = length >> 8
  out[1] = length & 0xff
  out.set(addChecksum(payload), LENGTH_BYTES)
  return out
}

function spaceFor(payload: Uint8Array): number {
  return Math.ceil((LENGTH_BYTES + CHECKSUM_BYTES + payload.length) / 4) * 4
}

function tooLarge(payload: Uint8Array): CodedError {
  const message = `${payload.length} bytes do not fit into a sector of the flash`
  return new CodedError('flash/too-large', message)
}

function damaged(): CodedError {
  const message =
    'the flash does not hold what it was given: it is worn out, or something else writes to it; ' +
    'enrol the meter again under a new name'
  return new CodedError('meter/store-damaged', message)
}
