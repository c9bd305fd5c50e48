import type { CborValue } from '#cbor'
import { fieldsOf, integer, integerOrNull, malformed, text } from './fields.ts'

/**
 * What is not as it should be about a range of a meter's readings:
 *
 *   missing          never came to this fog node; nobody counts their energy in a window
 *   skipped          numbers the meter declares it never used
 *   silence          no reading for much longer than usual; the one after it carries the energy
 *   not-summed       stored here, but in no window
 *   substitute       stand in for a measurement that was not made
 *   time-estimated   counted at a time that was estimated
 *   time-unknown     counted at a time that means nothing
 */
export type GapKind = (typeof gapKinds)[number]

/** In the order of their numbers on the wire. */
export const gapKinds = [
  'missing',
  'skipped',
  'silence',
  'not-summed',
  'substitute',
  'time-estimated',
  'time-unknown',
] as const

/**
 * One range. The same device, kind and `first` from the same fog again is the same range, grown: the
 * later one replaces the earlier.
 */
export interface Gap {
  deviceId: string
  kind: GapKind
  /** Numbers of the range; of a silence those of the readings before and after it. */
  first: number
  last: number
  /** Times of the readings around a hole, or of the first and last reading; null where not known. */
  startS: number | null
  endS: number | null
  /** How many readings it concerns; 0 for a hole. */
  readings: number
  /** Energy across it by the registers, Wh; null where there are none to compare. */
  importWh: number | null
  exportWh: number | null
}

/** Type number of a gap among items. */
export const GAP = 6

const DEVICE_ID_BYTES = 32

/** [5, device, kind, first, last, start, end, readings, import, export]. */
export function gapValues(gap: Gap): CborValue[] {
  const kind = gapKinds.indexOf(gap.kind)
  const { deviceId, first, last, startS, endS, readings, importWh, exportWh } = gap
  return [GAP, deviceId, kind, first, last, startS, endS, readings, importWh, exportWh]
}

/** The mirror of `gapValues`, from a decoded value; throws `messages/malformed`. */
export function gapFrom(value: CborValue): Gap {
  const f = fieldsOf(value, 'a gap', 10)
  const kind = gapKinds[integer(f, 2)]
  if (kind === undefined) throw malformed('there is no such kind of gap')
  const gap: Gap = {
    deviceId: text(f, 1, DEVICE_ID_BYTES),
    kind,
    first: integer(f, 3, 1),
    last: integer(f, 4, 1),
    startS: integerOrNull(f, 5),
    endS: integerOrNull(f, 6),
    readings: integer(f, 7),
    importWh: integerOrNull(f, 8),
    exportWh: integerOrNull(f, 9),
  }
  if (gap.last < gap.first) throw malformed(`gap: ${gap.first} to ${gap.last} is no range`)
  return gap
}
