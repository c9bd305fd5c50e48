import { CodedError } from '#errors'
import type { Frame } from '#telegram'
import { cutEncrypted } from './encrypted.ts'
import { toBytes, toText } from './text.ts'

/** The longest telegrams known, those with a year of monthly values, have some 5 kB. */
const MAX_LENGTH = 32_768

/** A telegram begins with a slash at the start of a line, or in the middle of one that was cut off. */
const START = /(?<=^|[\r\n])\/|\/(?=[A-Za-z]{3}\d)/g
/** `!`, the checksum if there is one, the end of the line. */
const END = /(?:^|[\r\n])![^\r\n]*[\r\n]/

/**
 * Cuts a stream of bytes into telegrams, from `/` to the line of `!` (P1 companion standard 5.0.2
 * §6.2, IEC 62056-21 mode D). What stands between two telegrams is of no interest (gateways add
 * lines of their own); one that was cut off is told as `lost`. `decrypt` opens encrypted telegrams,
 * see `encrypted.ts`; without it they are told as `p1/encrypted`.
 */
export function createP1Framer(decrypt?: (frame: Uint8Array) => Uint8Array) {
  let text = ''

  function push(bytes: Uint8Array): Frame[] {
    text += toText(bytes)
    const frames: Frame[] = []
    for (let frame = next(); frame !== null; frame = next()) {
      if (frame !== 'nothing') frames.push(frame)
    }
    return frames
  }

  /** The stream has ended: the last line may lack its end. */
  function end(): Frame[] {
    const frames = push(toBytes('\r\n'))
    const started = lastStart(text)
    text = ''
    if (started !== null) frames.push({ lost: halfTelegram() })
    return frames
  }

  function next(): Frame | 'nothing' | null {
    const encrypted = cutEncrypted(text)
    if (encrypted === 'wait') return bounded()
    if (encrypted !== null) {
      text = encrypted.rest
      return open(toBytes(encrypted.frame))
    }
    const ending = END.exec(text)
    if (ending === null) return bounded()
    const segment = text.slice(0, ending.index + ending[0].length)
    text = text.slice(segment.length)
    const start = lastStart(segment.slice(0, ending.index))
    if (start === null) return segment.trim() === '' ? 'nothing' : { lost: halfTelegram() }
    return { bytes: toBytes(segment.slice(start)) }
  }

  function open(frame: Uint8Array): Frame {
    if (decrypt === undefined) return { lost: keyNeeded() }
    try {
      return { bytes: decrypt(frame) }
    } catch (error) {
      if (error instanceof CodedError) return { lost: error }
      throw error
    }
  }

  function bounded(): Frame | null {
    if (text.length <= MAX_LENGTH) return null
    const had = lastStart(text) !== null
    text = ''
    const message = `${MAX_LENGTH} bytes without the end of a telegram`
    const advice = had ? '' : ', nor a beginning: are baud rate and parity right?'
    return { lost: new CodedError('p1/no-telegram', message + advice) }
  }

  return { push, end }
}

function lastStart(text: string): number | null {
  let last: number | null = null
  for (const { index } of text.matchAll(START)) last = index
  return last
}

function halfTelegram(): CodedError {
  return new CodedError('p1/half-telegram', 'a telegram was cut off')
}

function keyNeeded(): CodedError {
  return new CodedError(
    'p1/encrypted',
    'this meter encrypts its telegrams: ask the grid operator for its key, and name the file ' +
      'with it as source.key_file',
  )
}
