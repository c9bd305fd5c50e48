import { equal } from '#bytes'
import type { SigningKey, VerifyKey } from '#crypto'
import { defaults } from '#defaults'
import { CodedError } from '#errors'
import { checkAnchor, sameAnchor, type Anchor } from './anchor.ts'
import { chainAll, type Hash } from './chain.ts'
import { checkReading, inRange, readingLimits, type Reading } from './reading.ts'
import {
  bytesFrom,
  checkDeviceId,
  signStatement,
  skippedFrom,
  verifyStatement,
  type SkippedRange,
  type Statement,
} from './statement.ts'
import { mergeStatus } from './status.ts'

/** A signed run of 1 to 64 readings. */
export interface Block {
  statement: Statement
  /** The 64-byte Ed25519 signature of a COSE_Sign1 over the statement. */
  signature: Uint8Array
  /** None when they were given up and only what is signed about them is left. */
  readings: Reading[]
}

/** How many readings a statement is about, whether they are still there or not. */
export function countOf({
  first,
  last,
  skipped,
}: Pick<Statement, 'first' | 'last' | 'skipped'>): number {
  return skipped.reduce((count, [from, through]) => count - (through - from + 1), last - first + 1)
}

/** All a statement is made of. */
export interface BlockParts {
  deviceId: string
  previousChain: Uint8Array
  /** Registers after the previous block, or null for the first block ever. */
  startImportWh: number | null
  startExportWh: number | null
  readings: readonly Reading[]
  skipped?: readonly SkippedRange[]
  /** Of the last reading. */
  anchor?: Anchor | undefined
}

/**
 * The statement over `parts.readings`. `chain` may be passed by someone who has extended it reading
 * by reading already. Throws `reading/bad-value` or `reading/bad-shape`.
 */
export function makeStatement(crypto: Hash, parts: BlockParts, chain?: Uint8Array): Statement {
  for (const reading of parts.readings) checkReading(reading)
  checkNumbers(parts.readings, parts.skipped ?? [])
  checkHead(parts)
  return assembleStatement(parts, chain ?? chainAll(crypto, parts.previousChain, parts.readings))
}

/** `makeStatement` for parts that are checked already. */
export function assembleStatement(parts: BlockParts, chain: Uint8Array): Statement {
  const { readings } = parts
  const skipped: SkippedRange[] = (parts.skipped ?? []).map(([first, last]) => [first, last])
  const head = readings[0]!
  const tail = readings.at(-1)!
  return {
    deviceId: parts.deviceId,
    first: lowestNumber(head.number, skipped),
    last: tail.number,
    skipped,
    previousChain: parts.previousChain,
    chain,
    startTimeS: head.timeS,
    endTimeS: tail.timeS,
    startImportWh: parts.startImportWh ?? head.importWh,
    startExportWh: parts.startExportWh ?? head.exportWh,
    endImportWh: tail.importWh,
    endExportWh: tail.exportWh,
    status: readings.reduce((word, reading) => mergeStatus(word, reading.status), 0),
    ...(parts.anchor !== undefined && { anchor: parts.anchor }),
  }
}

/** Makes and signs a block; errors as `makeStatement`. */
export function buildBlock(crypto: Hash, key: SigningKey, parts: BlockParts): Block {
  const statement = makeStatement(crypto, parts)
  return { statement, signature: signStatement(key, statement), readings: [...parts.readings] }
}

/**
 * True only if the readings are exactly the ones this key signed: fields, order, chain, statement.
 * Never throws. Strange times are data, not a reason to refuse.
 */
export function verifyBlock(crypto: Hash, key: VerifyKey, block: Block): boolean {
  try {
    checkBlockShape(crypto, block)
  } catch (error) {
    if (error instanceof CodedError) return false
    throw error
  }
  return verifyStatement(key, block.statement, block.signature)
}

/**
 * Everything about a block but its signature: numbers consecutive except for skipped ranges, and a
 * statement that follows from the readings. Throws `reading/bad-shape` or `reading/bad-value`.
 */
export function checkBlockShape(crypto: Hash, block: Block): void {
  const { statement, readings } = block
  const { deviceId, previousChain, startImportWh, startExportWh, skipped, anchor } = statement
  const expected = makeStatement(crypto, {
    deviceId,
    previousChain,
    startImportWh,
    startExportWh,
    readings,
    skipped,
    anchor,
  })
  if (!sameStatement(statement, expected)) {
    throw badShape('the statement of the block does not match its readings')
  }
}

/**
 * Numbers must run from the first to the last reading without a hole, jumping exactly over the
 * skipped ranges; one range may end right before the first reading.
 */
export function checkNumbers(readings: readonly Reading[], skipped: readonly SkippedRange[]): void {
  const count = readings.length
  if (count < 1 || count > defaults.block.hardMaxReadings) {
    throw badShape(`a block has 1 to ${defaults.block.hardMaxReadings} readings, not ${count}`)
  }
  skippedFrom(skipped)
  const head = readings[0]!.number
  const numbers = blockNumbers(lowestNumber(head, skipped), skipped, count)
  readings.forEach((reading, index) => {
    if (reading.number === numbers[index]) return
    throw badShape(`reading ${reading.number} stands where ${numbers[index]} was expected`)
  })
}

/**
 * The numbers of `count` readings from `first` on, jumping over the skipped ranges. Throws
 * `reading/bad-shape` when a range is left over.
 */
export function blockNumbers(
  first: number,
  skipped: readonly SkippedRange[],
  count: number,
): number[] {
  const numbers: number[] = []
  let next = first
  let range = 0
  while (numbers.length < count) {
    const hole = skipped[range]
    if (hole !== undefined && hole[0] === next) {
      next = hole[1] + 1
      range++
    } else {
      numbers.push(next)
      next++
    }
  }
  if (range !== skipped.length) throw badShape('a skipped range is not next to a reading')
  return numbers
}

/** The lowest number a block accounts for: its first reading, or the range skipped right before. */
export function lowestNumber(firstReading: number, skipped: readonly SkippedRange[]): number {
  const range = skipped[0]
  return range !== undefined && range[1] === firstReading - 1 ? range[0] : firstReading
}

function checkHead(parts: BlockParts): void {
  checkDeviceId(parts.deviceId)
  bytesFrom(parts.previousChain, 32, 'previousChain')
  inRange('startImportWh', parts.startImportWh ?? 0, 0, readingLimits.registerWh)
  inRange('startExportWh', parts.startExportWh ?? 0, 0, readingLimits.registerWh)
  if (parts.anchor !== undefined) checkAnchor(parts.anchor)
}

function sameStatement(a: Statement, b: Statement): boolean {
  return (
    a.deviceId === b.deviceId &&
    a.first === b.first &&
    a.last === b.last &&
    equal(a.previousChain, b.previousChain) &&
    equal(a.chain, b.chain) &&
    a.startTimeS === b.startTimeS &&
    a.endTimeS === b.endTimeS &&
    a.startImportWh === b.startImportWh &&
    a.startExportWh === b.startExportWh &&
    a.endImportWh === b.endImportWh &&
    a.endExportWh === b.endExportWh &&
    a.status === b.status &&
    sameAnchor(a.anchor, b.anchor)
  )
}

function badShape(message: string): CodedError {
  return new CodedError('reading/bad-shape', message)
}
