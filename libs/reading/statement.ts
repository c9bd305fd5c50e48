import { utf8 } from '#bytes'
import { decode, encode, encodeInside, type CborValue } from '#cbor'
import { decodeSign1, sigStructure, verifySign1 } from '#cose'
import type { SigningKey, VerifyKey } from '#crypto'
import { CodedError } from '#errors'
import { anchorFrom, anchorValues, type Anchor } from './anchor.ts'
import { malformed, readingLimits } from './reading.ts'
import { checkStatus } from './status.ts'

/** Numbers a meter declares it never used: from the first to the last of a range, inclusive. */
export type SkippedRange = [first: number, last: number]

/**
 * What a block signature says. A block accounts for every number from `first` to `last`: each is
 * either a reading or inside a declared skipped range, so consecutive blocks always meet
 * (`next.first === previous.last + 1`). `last` is always a reading.
 */
export interface Statement {
  deviceId: string
  /** Lowest number accounted for: the first reading, or the start of a range skipped before it. */
  first: number
  /** Number of the last reading. */
  last: number
  /** Ascending, disjoint, not touching each other. */
  skipped: SkippedRange[]
  /** Hash chain before the first and after the last reading, 32 bytes each. */
  previousChain: Uint8Array
  chain: Uint8Array
  /** Times of the first and the last reading. */
  startTimeS: number
  endTimeS: number
  /** Registers after the previous block; for the first block ever, those of its first reading. */
  startImportWh: number
  startExportWh: number
  /** Registers of the last reading. */
  endImportWh: number
  endExportWh: number
  /** Worst time quality and all flags of the readings. */
  status: number
  /** Of the last reading; only where the clock is not to be trusted, or has just become so. */
  anchor?: Anchor
}

/** Separates block signatures from every other use of the meter's key (RFC 9052 §4.4). */
const EXTERNAL_AAD = utf8('fogmeter block 1')
/** The protected header {1: -8}, alg EdDSA (RFC 9053 §2.2). */
const PROTECTED = encode(new Map([[1, -8]]))
const DEVICE_ID = /^[A-Za-z0-9][A-Za-z0-9._-]{0,31}$/
/** A block of 64 readings can hold no more holes than readings. */
export const maxSkippedRanges = 64

/** Deterministic CBOR array of the fields of `Statement` in their order, without an absent anchor. */
export function encodeStatement(s: Statement): Uint8Array {
  return encode(fieldsOf(s))
}

function fieldsOf(s: Statement): CborValue[] {
  return [
    s.deviceId,
    s.first,
    s.last,
    s.skipped,
    s.previousChain,
    s.chain,
    s.startTimeS,
    s.endTimeS,
    s.startImportWh,
    s.startExportWh,
    s.endImportWh,
    s.endExportWh,
    s.status,
    ...(s.anchor === undefined ? [] : [anchorValues(s.anchor)]),
  ]
}

/** The mirror of `encodeStatement`; throws `reading/malformed`, `reading/bad-value` or `cbor/…`. */
export function decodeStatement(bytes: Uint8Array): Statement {
  const v = decode(bytes)
  if (!Array.isArray(v) || v.length < 13 || v.length > 14) {
    throw malformed('a statement has 13 or 14 fields')
  }
  const time = readingLimits.timeS
  const register = readingLimits.registerWh
  const statement: Statement = {
    deviceId: checkDeviceId(v[0]),
    first: uintFrom(v[1], 'first', readingLimits.number),
    last: uintFrom(v[2], 'last', readingLimits.number),
    skipped: skippedFrom(v[3]),
    previousChain: bytesFrom(v[4], 32, 'previousChain'),
    chain: bytesFrom(v[5], 32, 'chain'),
    startTimeS: uintFrom(v[6], 'startTimeS', time),
    endTimeS: uintFrom(v[7], 'endTimeS', time),
    startImportWh: uintFrom(v[8], 'startImportWh', register),
    startExportWh: uintFrom(v[9], 'startExportWh', register),
    endImportWh: uintFrom(v[10], 'endImportWh', register),
    endExportWh: uintFrom(v[11], 'endExportWh', register),
    status: checkStatus(uintFrom(v[12], 'status', 0xffff)),
    ...(v.length === 14 && { anchor: anchorFrom(v[13]) }),
  }
  return checkRanges(statement)
}

/** `first`, `last` and `skipped` must fit each other; else `reading/malformed`. */
function checkRanges(statement: Statement): Statement {
  const { first, last, skipped } = statement
  if (first < 1 || first > last) throw malformed(`a block cannot run from ${first} to ${last}`)
  const lowest = skipped[0]
  const highest = skipped.at(-1)
  if (lowest !== undefined && lowest[0] < first) throw malformed('a range skipped before the block')
  if (highest !== undefined && highest[1] >= last)
    throw malformed('a range skipped after the block')
  return statement
}

/** Everything of the Sig_structure (RFC 9052 §4.4) before its last element, the statement. */
const SIGNED_HEAD = sigStructure(PROTECTED, EXTERNAL_AAD, new Uint8Array()).slice(0, -1)

/** The bytes the meter signs: the Sig_structure of a COSE_Sign1. To be used and forgotten. */
export function statementToSign(statement: Statement): Uint8Array {
  return encodeInside(SIGNED_HEAD, fieldsOf(statement))
}

/** The 64-byte signature of a statement. */
export function signStatement(key: SigningKey, statement: Statement): Uint8Array {
  return key.sign(statementToSign(statement))
}

/** Checks the signature alone, not that the chain is that of some readings. */
export function verifyStatement(
  key: VerifyKey,
  statement: Statement,
  signature: Uint8Array,
): boolean {
  return signature.length === 64 && key.verify(statementToSign(statement), signature)
}

/** A COSE_Sign1 with the statement as payload: evidence that stands by itself. */
export function registerEnvelope(block: {
  statement: Statement
  signature: Uint8Array
}): Uint8Array {
  return encode([PROTECTED, new Map(), encodeStatement(block.statement), block.signature])
}

/** The statement of an envelope, unverified: to learn whose key to look up. */
export function peekRegister(envelope: Uint8Array): Statement {
  return splitRegister(envelope).statement
}

/** The mirror of `registerEnvelope`; nothing has been verified. Throws `reading/…` or `cose/…`. */
export function splitRegister(envelope: Uint8Array): {
  statement: Statement
  signature: Uint8Array
} {
  const { payload, signature } = decodeSign1(envelope)
  if (payload === null) throw malformed('a register envelope carries its statement')
  return { statement: decodeStatement(payload), signature }
}

/** The statement of a valid envelope; throws `cose/…` (bad signature included) or `reading/…`. */
export function verifyRegister(key: VerifyKey, envelope: Uint8Array): Statement {
  return decodeStatement(verifySign1(envelope, key, { externalAad: EXTERNAL_AAD }).payload)
}

/** A device id as credentials carry it, else `reading/malformed`. */
export function checkDeviceId(value: unknown): string {
  if (typeof value === 'string' && DEVICE_ID.test(value)) return value
  throw malformed('the device id of a statement is malformed')
}

function uintFrom(value: unknown, field: string, max: number): number {
  if (typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= max) {
    return value
  }
  throw new CodedError('reading/bad-value', `${field} must be an integer from 0 to ${max}`)
}

/** A byte string of exactly `length` bytes, else `reading/malformed`. */
export function bytesFrom(value: unknown, length: number, field: string): Uint8Array {
  if (value instanceof Uint8Array && value.length === length) return value
  throw malformed(`${field} must be ${length} bytes`)
}

/** Ascending ranges that neither overlap nor touch, else `reading/malformed`. */
export function skippedFrom(value: unknown): SkippedRange[] {
  if (!Array.isArray(value) || value.length > maxSkippedRanges) {
    throw malformed(`skipped must be an array of at most ${maxSkippedRanges} ranges`)
  }
  let previousEnd = -1
  return value.map((range) => {
    if (!Array.isArray(range) || range.length !== 2) throw malformed('a skipped range has two ends')
    const first = uintFrom(range[0], 'skipped', readingLimits.number)
    const last = uintFrom(range[1], 'skipped', readingLimits.number)
    // Touching ranges would be a second way to write one range.
    if (first < 1 || last < first || first <= previousEnd + 1) {
      throw malformed('skipped ranges must ascend and not touch')
    }
    previousEnd = last
    return [first, last]
  })
}
