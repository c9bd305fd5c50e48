import { CodedError } from '#errors'
import { parseIso } from '#ports'
import { readingLimits } from '#reading'

/** One measurement from a file or a pipe; null is "not given". */
export interface SourceReading {
  timeS: number | null
  powerW: number
  voltageDv: number | null
  currentMa: number | null
  importWh: number | null
  exportWh: number | null
  /** How far the source trusts its own clock: 0 synchronised, 1 estimated, 2 unknown. */
  timeQuality?: 0 | 1 | 2
  /** The physical meter was replaced before this reading. */
  replaced?: boolean
}

type Field = Exclude<keyof SourceReading, 'timeQuality' | 'replaced'>
type Target = { field: Field; factor: number; signed: boolean }

/**
 * Outside names and what one unit of them is worth inside. W and kW, Wh and kWh differ in name, so
 * the unit is never guessed from the size of a value.
 */
const COLUMNS: Readonly<Record<string, Target>> = {
  power_w: { field: 'powerW', factor: 1, signed: true },
  power_kw: { field: 'powerW', factor: 1_000, signed: true },
  active_power_kw: { field: 'powerW', factor: 1_000, signed: true },
  voltage_v: { field: 'voltageDv', factor: 10, signed: false },
  current_a: { field: 'currentMa', factor: 1_000, signed: false },
  import_wh: { field: 'importWh', factor: 1, signed: false },
  import_kwh: { field: 'importWh', factor: 1_000, signed: false },
  export_wh: { field: 'exportWh', factor: 1, signed: false },
  export_kwh: { field: 'exportWh', factor: 1_000, signed: false },
}

/** Names understood beside the time, for messages. */
export const valueNames: readonly string[] = Object.keys(COLUMNS)

const MAX_VALUE = 1_000_000_000_000

/** What the outside name `name` stands for, or null when it is unknown. */
export function targetOf(name: string): Target | null {
  return Object.hasOwn(COLUMNS, name) ? (COLUMNS[name] ?? null) : null
}

/** A reading in which nothing is given yet but a power of 0. */
export function emptyReading(): SourceReading {
  return {
    timeS: null,
    powerW: 0,
    voltageDv: null,
    currentMa: null,
    importWh: null,
    exportWh: null,
  }
}

/**
 * `value` in the target's integer unit, rounded to the nearest. Throws `household/bad-value`;
 * `where` names line and field.
 */
export function toInteger(value: number, { factor, signed }: Target, where: string): number {
  // Adding 0 turns −0, which rounding −0.3 gives, into 0.
  const scaled = Math.round(value * factor) + 0
  if (!Number.isFinite(value) || Math.abs(scaled) > MAX_VALUE) {
    throw badValue(where, `${String(value)} is out of range`)
  }
  if (scaled < 0 && !signed) throw badValue(where, `${value} must not be negative`)
  return scaled
}

/** Seconds since 1970 from a number; fractions are cut off. */
export function timeFromEpoch(value: number, where: string): number {
  if (Number.isFinite(value) && value >= 0 && value <= readingLimits.timeS) return Math.floor(value)
  throw badValue(where, `${value} is not a time in seconds since 1970 (milliseconds?)`)
}

/**
 * Seconds since 1970 from an ISO time. One without a zone is taken as UTC when `zoneless` allows
 * it (a file whose clock never jumps) and refused otherwise, since the zone of this machine says
 * nothing about the sender's.
 */
export function timeFromIso(text: string, where: string, zoneless: 'utc' | 'refuse'): number {
  const match = /^(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d(?::\d\d(?:\.\d+)?)?)(Z|[+-]\d\d:?\d\d)?$/.exec(
    text,
  )
  if (match === null) throw badValue(where, `${JSON.stringify(text)} is not an ISO time`)
  if (match[3] === undefined && zoneless === 'refuse') {
    throw badValue(where, `${JSON.stringify(text)} lacks a zone such as Z or +01:00`)
  }
  const zone = (match[3] ?? 'Z').replace(/^([+-]\d\d)(\d\d)$/, '$1:$2')
  const ms = parseIso(`${match[1]}T${match[2]}${zone}`)
  if (Number.isNaN(ms)) throw badValue(where, `${JSON.stringify(text)} is not a date`)
  return timeFromEpoch(ms / 1_000, where)
}

export function badValue(where: string, what: string): CodedError {
  return new CodedError('household/bad-value', `${where}: ${what}`)
}
