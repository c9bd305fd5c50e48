import { CodedError } from '#errors'
import {
  badValue,
  emptyReading,
  targetOf,
  timeFromEpoch,
  timeFromIso,
  toInteger,
  valueNames,
  type SourceReading,
} from './sample.ts'

/** Columns that carry the time; the shared household files use the second. */
const TIME_COLUMNS = ['time', 'time_local', 'time_utc']

/** Columns of the household files that a reading has no place for. */
const IGNORED = /^(reactive_power_kvar|sub_metering_\d_wh|meter_id)$/

/** The column names of a file, in order. */
export type CsvHeader = readonly string[]

/**
 * Reads a header line: a time column, one of power_w / power_kw / active_power_kw, and any of
 * voltage_v, current_a, import_wh | import_kwh, export_wh | export_kwh. Throws
 * `household/bad-header` naming the column.
 */
export function parseCsvHeader(line: string): CsvHeader {
  const names = line
    .replace(/^\uFEFF/, '')
    .split(',')
    .map((name) => name.trim())
  const seen = new Set<string>()
  for (const name of names) {
    const target = targetOf(name)
    const meaning = TIME_COLUMNS.includes(name) ? 'timeS' : (target?.field ?? null)
    if (meaning === null && !IGNORED.test(name)) {
      throw badHeader(
        `column ${JSON.stringify(name)} is unknown; known are time, ${valueNames.join(', ')}`,
      )
    }
    const key = meaning ?? name
    if (seen.has(key)) throw badHeader(`column ${name} gives ${key} a second time`)
    seen.add(key)
  }
  if (!seen.has('timeS')) throw badHeader('a column time is missing')
  if (!seen.has('powerW')) throw badHeader('a column power_w or power_kw is missing')
  return names
}

/**
 * One line as a reading, or null for an empty line and for a gap (no power given). Times without
 * zone count as UTC: the files' clock has a fixed offset. Throws `household/bad-value` naming line
 * and column.
 */
export function parseCsvLine(
  header: CsvHeader,
  line: string,
  lineNumber: number,
): SourceReading | null {
  if (line.trim() === '') return null
  const cells = line.split(',').map((cell) => cell.trim())
  if (cells.length !== header.length) {
    throw badValue(`line ${lineNumber}`, `${cells.length} columns instead of ${header.length}`)
  }
  const reading = emptyReading()
  let hasPower = false
  header.forEach((name, index) => {
    const cell = cells[index] ?? ''
    const target = targetOf(name)
    const where = `line ${lineNumber}, column ${name}`
    if (TIME_COLUMNS.includes(name)) reading.timeS = timeFrom(cell, where)
    else if (target !== null && cell !== '') {
      reading[target.field] = toInteger(numberFrom(cell, where), target, where)
      if (target.field === 'powerW') hasPower = true
    }
  })
  return hasPower ? reading : null
}

/** All readings of a whole file's text, gaps left out. */
export function parseCsv(text: string): SourceReading[] {
  const lines = text.split(/\r?\n/)
  const header = parseCsvHeader(lines[0] ?? '')
  const readings: SourceReading[] = []
  for (let i = 1; i < lines.length; i++) {
    const reading = parseCsvLine(header, lines[i] ?? '', i + 1)
    if (reading !== null) readings.push(reading)
  }
  return readings
}

function timeFrom(cell: string, where: string): number {
  if (/^\d+(\.\d+)?$/.test(cell)) return timeFromEpoch(Number(cell), where)
  return timeFromIso(cell, where, 'utc')
}

function numberFrom(cell: string, where: string): number {
  if (/^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(cell)) return Number(cell)
  throw badValue(where, `${JSON.stringify(cell)} is not a number`)
}

function badHeader(what: string): CodedError {
  return new CodedError('household/bad-header', `line 1: ${what}`)
}
