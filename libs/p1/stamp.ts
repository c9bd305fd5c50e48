/** The oldest year two digits can mean: meters whose clock was never set start in 1970. */
const FIRST_YEAR = 70
const PATTERN = /^(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)([SW])$/

/**
 * Seconds since 1970 of `YYMMDDhhmmssX` (P1 companion standard 5.0.2 §6.4), X being S in summer time
 * and W in winter time, so that the hour that comes twice a year is told apart. `winterMinutes` is
 * how far the meter's winter time is ahead of UTC: 60 in Central Europe, 0 in Ireland. Null when it
 * is no date, or does not say whether it is summer.
 */
export function parseStamp(text: string, winterMinutes: number): number | null {
  const match = PATTERN.exec(text)
  if (match === null) return null
  const [yy = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = match
    .slice(1, 7)
    .map(Number)
  const local = Date.UTC(
    yy < FIRST_YEAR ? 2000 + yy : 1900 + yy,
    month - 1,
    day,
    hour,
    minute,
    second,
  )
  // Date.UTC carries month 25 or second 61 over into other dates.
  const digits = new Date(local).toISOString().replace(/\D/g, '').slice(2, 14)
  if (digits !== text.slice(0, 12)) return null
  const timeS = local / 1_000 - (winterMinutes + (match[7] === 'S' ? 60 : 0)) * 60
  return timeS < 0 ? null : timeS
}
