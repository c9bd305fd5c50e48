import { concat } from '#bytes'
import { CodedError } from '#errors'
import { crc16Kermit, crc16X25, type Frame } from '#telegram'

/** Far more than any meter pushes. */
const MAX_LENGTH = 32_768
const ESCAPE = 0x1b
const BEGIN = 0x01
const END = 0x1a
/** 1b1b1b1b 1a, how many bytes were filled up, checksum. */
const END_LENGTH = 8

/**
 * Cuts a stream of bytes into SML files by the transport protocol, version 1 (BSI TR-03109-1 Anlage
 * IV, SML §8): 1b1b1b1b 01010101 … 1b1b1b1b 1a fill crc crc. The file comes without escapes, its
 * checksum is right; everything else is told as `lost`.
 */
export function createSmlFramer() {
  let buffer: Uint8Array = new Uint8Array(0)

  function push(bytes: Uint8Array): Frame[] {
    buffer = concat(buffer, bytes)
    const frames: Frame[] = []
    for (let frame = next(); frame !== null; frame = next()) frames.push(frame)
    return frames
  }

  /** The stream has ended. */
  function end(): Frame[] {
    const started = indexOf(buffer, 0, BEGIN) >= 0
    buffer = new Uint8Array(0)
    return started ? [{ lost: half() }] : []
  }

  function next(): Frame | null {
    const start = indexOf(buffer, 0, BEGIN)
    if (start < 0) {
      // The last bytes may be the beginning of a beginning.
      buffer = buffer.slice(-7)
      return null
    }
    buffer = buffer.slice(start)
    const ending = endOf(buffer)
    if (ending === null) return bounded()
    if (ending.kind === 'cut-off') {
      buffer = buffer.slice(ending.at)
      return { lost: half() }
    }
    const raw = buffer.slice(0, ending.at + END_LENGTH)
    buffer = buffer.slice(raw.length)
    return opened(raw)
  }

  function bounded(): Frame | null {
    if (buffer.length <= MAX_LENGTH) return null
    buffer = new Uint8Array(0)
    return {
      lost: new CodedError('sml/too-long', `an SML file without an end in ${MAX_LENGTH} bytes`),
    }
  }

  return { push, end }
}

/** Where the file ends, or where another begins before it did; null while neither is there. */
function endOf(buffer: Uint8Array): { kind: 'end' | 'cut-off'; at: number } | null {
  for (let at = 8; at + END_LENGTH <= buffer.length; at++) {
    if (!isRun(buffer, at, ESCAPE)) continue
    if (isRun(buffer, at + 4, ESCAPE)) at += 7
    else if (isRun(buffer, at + 4, BEGIN)) return { kind: 'cut-off', at }
    // A file is filled up to whole words, so an end elsewhere is content.
    else if (buffer[at + 4] === END && at % 4 === 0) return { kind: 'end', at }
  }
  return null
}

function opened(raw: Uint8Array): Frame {
  const fill = raw[raw.length - 3] ?? 0
  const crc = (raw[raw.length - 2] ?? 0) | ((raw[raw.length - 1] ?? 0) << 8)
  const covered = raw.subarray(0, -2)
  if (crc !== crc16X25(covered) && crc !== crc16Kermit(covered)) {
    const message = 'the checksum of an SML file is wrong: bytes were lost or changed on the way'
    return { lost: new CodedError('sml/bad-crc', message) }
  }
  const content = unescape(raw.subarray(8, -END_LENGTH))
  if (fill > 3 || fill > content.length) {
    return { lost: new CodedError('sml/malformed', `an SML file filled up by ${fill} bytes`) }
  }
  return { bytes: content.slice(0, content.length - fill) }
}

/** 1b1b1b1b in the content is sent twice. */
function unescape(content: Uint8Array): Uint8Array {
  const bytes: number[] = []
  for (let at = 0; at < content.length; at++) {
    if (isRun(content, at, ESCAPE) && isRun(content, at + 4, ESCAPE)) {
      bytes.push(ESCAPE, ESCAPE, ESCAPE, ESCAPE)
      at += 7
    } else bytes.push(content[at] ?? 0)
  }
  return Uint8Array.from(bytes)
}

/** Index of an escape followed by four times `mark`, or −1. */
function indexOf(buffer: Uint8Array, from: number, mark: number): number {
  for (let at = from; at + 8 <= buffer.length; at++) {
    if (isRun(buffer, at, ESCAPE) && isRun(buffer, at + 4, mark)) return at
  }
  return -1
}

function isRun(buffer: Uint8Array, at: number, byte: number): boolean {
  for (let i = at; i < at + 4; i++) if (buffer[i] !== byte) return false
  return true
}

function half(): CodedError {
  return new CodedError('sml/half-file', 'an SML file was cut off')
}
