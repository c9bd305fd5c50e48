import { decode, decodeInts, encode, encodeInts, type CborValue } from '#cbor'
import { defaults } from '#defaults'
import { anchorFrom, anchorValues } from './anchor.ts'
import { assembleStatement, blockNumbers, lowestNumber, type Block } from './block.ts'
import { chainAll, type Hash } from './chain.ts'
import { difference, sum } from './live.ts'
import {
  checkReading,
  integerAt,
  malformed,
  readingFromValues,
  readingLimits,
  type Reading,
} from './reading.ts'
import {
  bytesFrom,
  registerEnvelope,
  skippedFrom,
  splitRegister,
  type SkippedRange,
} from './statement.ts'

/** Start registers, then the first reading, then this many differences for each further one. */
const HEAD = 2 + 8
const STEP = 7

/**
 * A block as CBOR: [previousChain, signature, skipped, values, ?[boot, ageS]], where `values` is a
 * byte string holding one CBOR array of integers:
 *
 *   dStartImportWh, dStartExportWh   registers gained between the previous block and the first reading
 *   number, timeS, powerW, voltageDv, currentMa, importWh, exportWh, status   of the first reading
 *   ddtS, dPowerW, dVoltageDv, dCurrentMa, dImportWh, dExportWh, status xor previous   of each next
 *
 * `ddtS` is the change of the time step, so an even rhythm costs one byte. Numbers and everything
 * else in the statement follow from the readings. The integers are a byte string of their own so
 * that they take the fast integer decoder.
 *
 * A block whose readings were given up is its register envelope instead, which has four parts too.
 */
export function encodeBlock(block: Block): Uint8Array {
  const { statement, signature, readings } = block
  const head = readings[0]
  if (head === undefined) return registerEnvelope(block)
  const values: (number | null)[] = [
    head.importWh - statement.startImportWh,
    head.exportWh - statement.startExportWh,
    head.number,
    head.timeS,
    head.powerW,
    head.voltageDv,
    head.currentMa,
    head.importWh,
    head.exportWh,
    head.status,
  ]
  let previous = head
  let step = 0
  for (let i = 1; i < readings.length; i++) {
    const next = readings[i]!
    pushDifferences(values, previous, next, step)
    step = next.timeS - previous.timeS
    previous = next
  }
  const body = [statement.previousChain, signature, statement.skipped, encodeInts(values)]
  return encode(statement.anchor ? [...body, anchorValues(statement.anchor)] : body)
}

function pushDifferences(
  values: (number | null)[],
  previous: Reading,
  next: Reading,
  step: number,
): void {
  values.push(
    next.timeS - previous.timeS - step,
    next.powerW - previous.powerW,
    difference(previous.voltageDv, next.voltageDv),
    difference(previous.currentMa, next.currentMa),
    next.importWh - previous.importWh,
    next.exportWh - previous.exportWh,
    next.status ^ previous.status,
  )
}

/**
 * The mirror of `encodeBlock`, from its bytes or from the decoded array. The chain is computed, so
 * what comes back has the right shape and only its signature is left to check; so is a statement
 * that comes without its readings
 * (`verifyStatement(key, block.statement, block.signature)`).
 * Throws `reading/…` or `cbor/…`.
 */
export function decodeBlock(crypto: Hash, body: Uint8Array | CborValue[], deviceId: string): Block {
  if (body instanceof Uint8Array && isEnvelope(body)) return withoutReadings(body, deviceId)
  const array = body instanceof Uint8Array ? (usualParts(body) ?? decode(body)) : body
  if (!Array.isArray(array) || array.length < 4 || array.length > 5) {
    throw malformed('a block body has four or five parts')
  }
  const previousChain = bytesFrom(array[0], 32, 'previousChain')
  const signature = bytesFrom(array[1], 64, 'signature')
  const skipped = skippedFrom(array[2])
  const packed = array[3]
  if (!(packed instanceof Uint8Array)) throw malformed('the values of a block must be bytes')
  const values = decodeInts(packed)
  const readings = readingsFrom(values, skipped)
  const head = readings[0]!
  const statement = assembleStatement(
    {
      deviceId,
      previousChain,
      startImportWh: registerFrom(head.importWh - integerAt(values, 0)),
      startExportWh: registerFrom(head.exportWh - integerAt(values, 1)),
      readings,
      skipped,
      anchor: array.length === 5 ? anchorFrom(array[4]) : undefined,
    },
    chainAll(crypto, previousChain, readings),
  )
  return { statement, signature, readings }
}

/** An envelope begins with its protected header of three bytes, a block with a hash of 32. */
function isEnvelope(body: Uint8Array): boolean {
  return body[0] === 0x84 && body[1] === 0x43
}

function withoutReadings(body: Uint8Array, deviceId: string): Block {
  const { statement, signature } = splitRegister(body)
  if (statement.deviceId !== deviceId) throw malformed('a statement about another device')
  return { statement, signature: bytesFrom(signature, 64, 'signature'), readings: [] }
}

/** Where the parts of a body without skipped ranges and anchor stand, each behind its head. */
const PREVIOUS_AT = 3
const SIGNATURE_AT = 37
const SKIPPED_AT = 101
const VALUES_AT = 102

/**
 * The parts of a body without skipped ranges and anchor, as nearly every one is: all but the last
 * then have fixed places. Null for every other body, good or bad: the general decoder reads those.
 */
function usualParts(body: Uint8Array): CborValue[] | null {
  const usual =
    body[0] === 0x84 &&
    body[PREVIOUS_AT - 2] === 0x58 &&
    body[PREVIOUS_AT - 1] === 32 &&
    body[SIGNATURE_AT - 2] === 0x58 &&
    body[SIGNATURE_AT - 1] === 64 &&
    body[SKIPPED_AT] === 0x80
  const start = usual ? startOfLast(body, VALUES_AT) : -1
  if (start < 0) return null
  // Copies, as the general decoder makes them; `slice` would not copy where a Buffer is given.
  const previousChain = new Uint8Array(body.subarray(PREVIOUS_AT, SIGNATURE_AT - 2))
  const signature = new Uint8Array(body.subarray(SIGNATURE_AT, SKIPPED_AT))
  return [previousChain, signature, [], body.subarray(start)]
}

/** Where the content of a byte string begins that ends with the body; −1 when there is none such. */
function startOfLast(body: Uint8Array, at: number): number {
  const left = body.length - at
  if (body[at] === 0x58 && left >= 2 + 24 && left - 2 === body[at + 1]) return at + 2
  if (body[at] !== 0x59 || left < 3 + 256) return -1
  return left - 3 === (body[at + 1]! << 8) + body[at + 2]! ? at + 3 : -1
}

function registerFrom(valueWh: number): number {
  if (valueWh >= 0 && valueWh <= readingLimits.registerWh) return valueWh
  throw malformed(`a start register of ${valueWh} Wh is out of range`)
}

/** The readings of a `values` array; as many as its length says, checked one by one. */
function readingsFrom(values: (number | null)[], skipped: SkippedRange[]): Reading[] {
  const count = 1 + (values.length - HEAD) / STEP
  if (!Number.isInteger(count) || count < 1 || count > defaults.block.hardMaxReadings) {
    throw malformed(`${values.length} values do not make a block`)
  }
  const head = readingFromValues(values, 2)
  const numbers = blockNumbers(lowestNumber(head.number, skipped), skipped, count)
  const readings = [head]
  let previous = head
  let step = 0
  for (let i = 1; i < count; i++) {
    step += integerAt(values, HEAD + (i - 1) * STEP)
    previous = nextReading(previous, values, HEAD + (i - 1) * STEP, numbers[i]!, step)
    readings.push(previous)
  }
  return readings
}

function nextReading(
  previous: Reading,
  values: (number | null)[],
  at: number,
  number: number,
  step: number,
): Reading {
  const flips = integerAt(values, at + 6)
  // Beyond 16 bits the xor below would silently cut it to 32 bits: a second spelling.
  if (flips < 0 || flips > 0xffff) throw malformed('a status change has 16 bits')
  return checkReading({
    number,
    timeS: previous.timeS + step,
    powerW: previous.powerW + integerAt(values, at + 1),
    voltageDv: sum(previous.voltageDv, values[at + 2]),
    currentMa: sum(previous.currentMa, values[at + 3]),
    importWh: previous.importWh + integerAt(values, at + 4),
    exportWh: previous.exportWh + integerAt(values, at + 5),
    status: previous.status ^ flips,
  })
}
