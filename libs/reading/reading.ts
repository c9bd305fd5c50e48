import { decodeInts, encodeInts } from '#cbor'
import { CodedError } from '#errors'
import { checkStatus } from './status.ts'

/**
 * One measurement of one meter, all integers. Power and the registers are separate quantities:
 * power is what the meter shows at `timeS`, the registers count the energy up to `timeS`.
 */
export interface Reading {
  /** The meter's own running number, from 1, never used twice. */
  number: number
  /** Seconds since 1970 by the meter's clock: data, with its quality in `status`. */
  timeS: number
  /** Active power in W; positive is import from the grid, negative is export. */
  powerW: number
  /** Voltage in tenths of a volt, null where not measured. */
  voltageDv: number | null
  /** Current in mA, null where not measured. */
  currentMa: number | null
  /** Cumulative import register in Wh. */
  importWh: number
  /** Cumulative export register in Wh. */
  exportWh: number
  /** Flags, see `status`. */
  status: number
}

/** The last second of the year 9999: later times cannot be written as dates. */
export const lastDateS = 253_402_300_799
const daySeconds = 86_400

/**
 * Accepted ranges. They are far beyond a house and far below 2^53, so that sums over the millions
 * of readings a fog node aggregates stay exact.
 */
export const readingLimits = {
  /** One below the largest exact integer, so that the number after any reading's can be named. */
  number: Number.MAX_SAFE_INTEGER - 1,
  /** A day before dates end, so that the window a reading falls into ends within them. */
  timeS: lastDateS - daySeconds,
  powerW: 1_000_000_000,
  voltageDv: 10_000_000,
  currentMa: 1_000_000_000,
  registerWh: 1_000_000_000_000,
} as const

/**
 * Throws `reading/bad-value`, naming the field, unless every field is an integer in its range.
 * Returns its argument.
 */
export function checkReading(reading: Reading): Reading {
  const { number, timeS, powerW, voltageDv, currentMa, importWh, exportWh } = reading
  inRange('number', number, 1, readingLimits.number)
  inRange('timeS', timeS, 0, readingLimits.timeS)
  inRange('powerW', powerW, -readingLimits.powerW, readingLimits.powerW)
  if (voltageDv !== null) inRange('voltageDv', voltageDv, 0, readingLimits.voltageDv)
  if (currentMa !== null) inRange('currentMa', currentMa, 0, readingLimits.currentMa)
  inRange('importWh', importWh, 0, readingLimits.registerWh)
  inRange('exportWh', exportWh, 0, readingLimits.registerWh)
  checkStatus(reading.status)
  return reading
}

/** Throws `reading/bad-value` unless `value` is an integer from `min` to `max`. */
export function inRange(field: string, value: number, min: number, max: number): void {
  // The negated form also refuses NaN, undefined and strings that reached us untyped.
  // Minus zero, which rounding −0.3 gives, has no CBOR encoding.
  if (Number.isInteger(value) && value >= min && value <= max && !Object.is(value, -0)) return
  throw new CodedError(
    'reading/bad-value',
    `${field} must be an integer from ${min} to ${max}, got ${String(value)}`,
  )
}

/**
 * The canonical bytes of a reading, which the hash chain covers: a deterministic CBOR array
 * [number, timeS, powerW, voltageDv, currentMa, importWh, exportWh, status].
 */
export function encodeReading(reading: Reading): Uint8Array {
  return encodeInts(readingValues(reading))
}

/** The mirror of `encodeReading`; throws `reading/malformed`, `reading/bad-value` or `cbor/…`. */
export function decodeReading(bytes: Uint8Array): Reading {
  return readingFromValues(decodeInts(bytes))
}

/** The eight values of a reading in canonical order. */
export function readingValues(reading: Reading): (number | null)[] {
  return [
    reading.number,
    reading.timeS,
    reading.powerW,
    reading.voltageDv,
    reading.currentMa,
    reading.importWh,
    reading.exportWh,
    reading.status,
  ]
}

/** The mirror of `readingValues`, from an array of foreign integers, starting at `at`. */
export function readingFromValues(values: readonly (number | null)[], at = 0): Reading {
  if (values.length < at + 8) throw malformed('a reading has eight values')
  if (at === 0 && values.length !== 8) throw malformed('a reading has eight values')
  return checkReading({
    number: integerAt(values, at),
    timeS: integerAt(values, at + 1),
    powerW: integerAt(values, at + 2),
    voltageDv: values[at + 3] ?? null,
    currentMa: values[at + 4] ?? null,
    importWh: integerAt(values, at + 5),
    exportWh: integerAt(values, at + 6),
    status: integerAt(values, at + 7),
  })
}

/** The integer at `index`; null or a missing element is `reading/malformed`. */
export function integerAt(values: readonly (number | null)[], index: number): number {
  const value = values[index]
  if (value === null || value === undefined) {
    throw malformed(`value ${index} of a reading must be an integer`)
  }
  return value
}

export function malformed(message: string): CodedError {
  return new CodedError('reading/malformed', message)
}
