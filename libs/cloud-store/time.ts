import { CodedError } from '#errors'
import { parseIso } from '#ports'

const UNITS: Record<string, number> = { s: 1, m: 60, h: 3_600, d: 86_400, w: 604_800 }
const AGO = /^(\d{1,9})([smhdw])$/
const ISO = /^\d{4}-\d{2}-\d{2}(?:T\d{2}:\d{2}(?::\d{2}(?:\.\d{1,3})?)?(Z|[+-]\d{2}:\d{2})?)?$/
const EPOCH = /^\d{1,12}$/

/**
 * A moment as people write it, in seconds since 1970: `90s`, `30m`, `1h`, `7d`, `2w` before now,
 * an ISO 8601 date or date-time (UTC unless it carries an offset), or seconds since 1970.
 * Throws `query/bad-time`.
 */
function parseWhen(text: string, nowS: number): number {
  const ago = AGO.exec(text)
  if (ago) return Math.max(0, nowS - Number(ago[1]) * (UNITS[ago[2] ?? ''] ?? 0))
  if (EPOCH.test(text)) return Number(text)
  const iso = ISO.exec(text)
  // JavaScript takes a date-time without offset as local time, and answers must not depend on that.
  const zone = iso && text.includes('T') && iso[1] === undefined ? 'Z' : ''
  const milliseconds = iso ? parseIso(text + zone) : Number.NaN
  if (Number.isFinite(milliseconds)) return Math.max(0, Math.floor(milliseconds / 1000))
  throw new CodedError(
    'query/bad-time',
    `${JSON.stringify(text.slice(0, 40))} is no time; write 30m, 1h, 7d (before now), an ISO 8601 date ` +
      'such as 2026-01-31T12:00:00Z, or seconds since 1970',
  )
}

/** Both ends of a period as people write them; an end that is not given is open. */
export interface WrittenPeriod {
  since?: string | undefined
  until?: string | undefined
}

/** Seconds since 1970. */
export interface Period {
  since: number | undefined
  until: number | undefined
}

/** Throws `query/bad-time`, and `query/bad-period` when nothing can lie between the two. */
export function parsePeriod({ since, until }: WrittenPeriod, nowS: number): Period {
  const read = (text: string | undefined) => (text === undefined ? text : parseWhen(text, nowS))
  const period = { since: read(since), until: read(until) }
  const { since: from, until: to } = period
  if (from === undefined || to === undefined || from <= to) return period
  throw new CodedError(
    'query/bad-period',
    `since ${since} (${isoTime(from)}) is later than until ${until} (${isoTime(to)}): ` +
      'nothing lies between them; change one or the other',
  )
}

/** ISO 8601 in UTC, whole seconds. */
export function isoTime(timeS: number): string {
  return `${new Date(timeS * 1000).toISOString().slice(0, 19)}Z`
}
