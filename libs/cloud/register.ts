import type { Credential } from '#credential'
import { status, timeQuality, timeQualityOf } from '#reading'
import type { Statement } from '#reading'
import type { RegisterFacts } from './store.ts'

/**
 * Facts about a signed register beside its neighbours. A flagged register is stored and shown, never
 * dropped: it is evidence, and whoever makes a bill decides what it means.
 */
export const registerFlags = {
  /** The import register is lower than an earlier signed one. */
  importBack: 1,
  exportBack: 2,
  /** Another statement ends at the same reading number: the meter signed two histories. */
  conflict: 4,
  /** Its time lies before an earlier register's. */
  timeBack: 8,
  /** Signed outside the validity of the meter's credential, by the meter's own clock. */
  outsideValidity: 16,
  /** The meter itself declared a register reset, rollover or exchange in this block. */
  declaredReset: 32,
} as const

const FLAG_NAMES: readonly (readonly [number, string])[] = [
  [registerFlags.importBack, 'import-back'],
  [registerFlags.exportBack, 'export-back'],
  [registerFlags.conflict, 'conflict'],
  [registerFlags.timeBack, 'time-back'],
  [registerFlags.outsideValidity, 'outside-validity'],
  [registerFlags.declaredReset, 'declared-reset'],
]

/** Flags an operator should look at; a declared reset alone is normal life. */
export const suspiciousFlags = ~registerFlags.declaredReset & 0x3f

/** Names for people and for the API, e.g. `['import-back']`. */
export function registerFlagNames(flags: number): string[] {
  return FLAG_NAMES.filter(([bit]) => (flags & bit) !== 0).map(([, name]) => name)
}

/** What one statement says about itself, its credential included. */
export function ownFlags(statement: Statement, credential: Credential): number {
  const { endTimeS, status: word } = statement
  let flags = wentBack(startFacts(statement), statement)
  const outside = endTimeS < credential.notBeforeS || endTimeS > credential.notAfterS
  if (outside && knowsTime(statement)) flags |= registerFlags.outsideValidity
  if ((word & (status.registerReset | status.meterReplaced)) !== 0)
    flags |= registerFlags.declaredReset
  return flags
}

type Point = Pick<RegisterFacts, 'endTimeS' | 'endImportWh' | 'endExportWh' | 'status'>

function startFacts(statement: Statement): Point {
  return {
    endTimeS: statement.startTimeS,
    endImportWh: statement.startImportWh,
    endExportWh: statement.startExportWh,
    status: statement.status,
  }
}

/** A time that the meter itself does not believe contradicts nothing. */
function knowsTime({ status: word }: Pick<Point, 'status'>): boolean {
  return timeQualityOf(word) !== timeQuality.unknown
}

/** Which of `later`'s values lie below `earlier`'s. */
export function wentBack(earlier: Point, later: Point): number {
  const dated = knowsTime(earlier) && knowsTime(later)
  return (
    (later.endImportWh < earlier.endImportWh ? registerFlags.importBack : 0) |
    (later.endExportWh < earlier.endExportWh ? registerFlags.exportBack : 0) |
    (dated && later.endTimeS < earlier.endTimeS ? registerFlags.timeBack : 0)
  )
}
