import { EventEmitter } from 'node:events'
import type { Duplex } from 'node:stream'
import { crc16Modbus } from '#telegram'

/** MODBUS over Serial Line 1.02 §2.5.1: unit, function, content, checksum. */
const EXCEPTION_LENGTH = 5
const EXCEPTION = 0x80
/** Longer than any answer; what is older cannot belong to one. */
const MAX_HELD = 512

interface Awaited {
  unit: number
  code: number
  length: number
}

/**
 * A serial line as modbus-serial wants it, for questions about registers (functions 3 and 4). Answers
 * on a line have no number: what comes when nothing was asked belongs to an earlier question and is
 * dropped, and so is whatever stands before an answer, such as the echo of the question.
 */
export function createRtuPort(wire: Duplex) {
  let awaited: Awaited | null = null
  let held: Buffer = Buffer.alloc(0)

  wire.on('data', (chunk: Buffer) => {
    if (awaited === null) return
    held = Buffer.concat([held, chunk]).subarray(-MAX_HELD)
    const answer = answerIn(held, awaited)
    if (answer === null) return
    awaited = null
    port.emit('data', answer)
  })

  const port = Object.assign(new EventEmitter(), {
    isOpen: true,
    open: (done: () => void) => done(),
    write(question: Buffer) {
      const [unit = 0, code = 0] = question
      // Address, function, count, then two bytes a register, checksum.
      awaited = { unit, code, length: 3 + 2 * question.readUInt16BE(4) + 2 }
      held = Buffer.alloc(0)
      wire.write(question)
    },
    /** Bytes that came since the last question and are no answer to it. */
    heard: () => held.length,
  })
  return port
}

function answerIn(bytes: Buffer, { unit, code, length }: Awaited): Buffer | null {
  for (let at = 0; at + EXCEPTION_LENGTH <= bytes.length; at++) {
    if (bytes[at] !== unit) continue
    const size =
      bytes[at + 1] === (code | EXCEPTION)
        ? EXCEPTION_LENGTH
        : bytes[at + 1] === code && bytes[at + 2] === length - 5
          ? length
          : Infinity
    const frame = bytes.subarray(at, at + size)
    if (
      frame.length === size &&
      frame.readUInt16LE(size - 2) === crc16Modbus(frame.subarray(0, -2))
    )
      return frame
  }
  return null
}
