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

/**
 * One reading from one JSON object on a line, e.g.
 * `{"time":"2026-03-01T12:00:00Z","power_w":431,"voltage_v":229.8,"import_kwh":1234.567}`.
 * Power is required; `time` is ISO with a zone or seconds since 1970. `time_quality` (synchronised,
 * estimated, unknown) says how far the sender trusts its clock, `replaced: true` that the physical
 * meter is another one from this reading on. An empty line is null.
 * Throws `household/bad-json`, `household/unknown-field`, `household/bad-value` or
 * `household/no-power`, naming line and field. Unknown fields are refused, since a misspelt one
 * would otherwise silently be lost.
 */
export function parseJsonLine(line: string, lineNumber = 1): SourceReading | null {
  if (line.trim() === '') return null
  const object = objectFrom(line, lineNumber)
  const reading = emptyReading()
  const given = new Map<string, string>()
  for (const [name, value] of Object.entries(object)) {
    const where = `line ${lineNumber}, field ${name}`
    if (name === 'time') {
      reading.timeS = timeFrom(value, where)
      continue
    }
    if (name === 'time_quality') {
      reading.timeQuality = qualityFrom(value, where)
      continue
    }
    if (name === 'replaced') {
      if (typeof value !== 'boolean') throw badValue(where, 'must be true or false')
      reading.replaced = value
      continue
    }
    const target = targetOf(name)
    if (target === null) {
      const known = `known are time, time_quality, replaced, ${valueNames.join(', ')}`
      throw new CodedError('household/unknown-field', `${where} is unknown; ${known}`)
    }
    const earlier = given.get(target.field)
    if (earlier !== undefined) throw badValue(where, `${earlier} gives the same quantity already`)
    given.set(target.field, name)
    if (value === null && target.field !== 'powerW') continue
    if (typeof value !== 'number') throw badValue(where, `${JSON.stringify(value)} is not a number`)
    reading[target.field] = toInteger(value, target, where)
  }
  if (given.has('powerW')) return reading
  throw new CodedError('household/no-power', `line ${lineNumber}: power_w or power_kw is missing`)
}

function objectFrom(line: string, lineNumber: number): Record<string, unknown> {
  let value: unknown
  try {
    // Some programs begin what they write with a byte order mark.
    value = JSON.parse(lineNumber === 1 ? line.replace(/^\uFEFF/, '') : line)
  } catch (error) {
    throw new CodedError('household/bad-json', `line ${lineNumber}: not JSON`, { cause: error })
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    return value as Record<string, unknown>
  }
  throw new CodedError('household/bad-json', `line ${lineNumber}: not a JSON object`)
}

const qualities: readonly unknown[] = ['synchronised', 'estimated', 'unknown']

function qualityFrom(value: unknown, where: string): 0 | 1 | 2 {
  const quality = qualities.indexOf(value)
  if (quality >= 0) return quality as 0 | 1 | 2
  throw badValue(where, `must be one of ${qualities.join(', ')}`)
}

function timeFrom(value: unknown, where: string): number {
  if (typeof value === 'number') return timeFromEpoch(value, where)
  if (typeof value === 'string') return timeFromIso(value, where, 'refuse')
  throw badValue(where, 'must be an ISO time or seconds since 1970')
}
