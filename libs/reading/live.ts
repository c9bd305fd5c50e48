import { checkReading, integerAt, malformed, type Reading } from './reading.ts'

/**
 * A live reading as integers, relative to the previous reading of the same meter:
 * [number, dtS, powerW, dVoltageDv, dCurrentMa, dImportWh, ?dExportWh, ?status].
 * Number and power are absolute (a gap shows, and power is usable at once). A voltage or current
 * that was null before is relative to 0. The last two are left out when nothing changed, which for
 * a house without solar is always. Exactly one encoding is accepted for each reading.
 */
export function encodeLive(previous: Reading, next: Reading): (number | null)[] {
  checkReading(next)
  if (next.number <= previous.number) {
    throw malformed(`reading ${next.number} does not come after ${previous.number}`)
  }
  const values = [
    next.number,
    next.timeS - previous.timeS,
    next.powerW,
    difference(previous.voltageDv, next.voltageDv),
    difference(previous.currentMa, next.currentMa),
    next.importWh - previous.importWh,
  ]
  const exportDelta = next.exportWh - previous.exportWh
  if (next.status !== previous.status) values.push(exportDelta, next.status)
  else if (exportDelta !== 0) values.push(exportDelta)
  return values
}

/**
 * The mirror of `encodeLive`. The caller checks `number` for gaps against what it holds.
 * Throws `reading/malformed` or `reading/bad-value`.
 */
export function decodeLive(previous: Reading, values: readonly (number | null)[]): Reading {
  const length = values.length
  if (length < 6 || length > 8) throw malformed(`a live reading has 6 to 8 values, not ${length}`)
  const number = integerAt(values, 0)
  const exportDelta = length > 6 ? integerAt(values, 6) : 0
  const status = length > 7 ? integerAt(values, 7) : previous.status
  if (number <= previous.number) {
    throw malformed(`reading ${number} does not come after ${previous.number}`)
  }
  if ((length === 7 && exportDelta === 0) || (length === 8 && status === previous.status)) {
    throw malformed('an unchanged trailing value must be left out')
  }
  return checkReading({
    number,
    timeS: previous.timeS + integerAt(values, 1),
    powerW: integerAt(values, 2),
    voltageDv: sum(previous.voltageDv, values[3]),
    currentMa: sum(previous.currentMa, values[4]),
    importWh: previous.importWh + integerAt(values, 5),
    exportWh: previous.exportWh + exportDelta,
    status,
  })
}

/** `to` relative to `from`, where nothing known counts as 0 and null stays null. */
export function difference(from: number | null, to: number | null): number | null {
  return to === null ? null : to - (from ?? 0)
}

/** The mirror of `difference`. */
export function sum(from: number | null, delta: number | null | undefined): number | null {
  return delta === null || delta === undefined ? null : (from ?? 0) + delta
}
