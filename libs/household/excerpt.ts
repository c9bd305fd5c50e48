import { CodedError } from '#errors'

/** One minute of a household: the mean power of the minute, and what the meter saw in it. */
export interface MinuteSample {
  /** Minute of the day, 0 to 1439; a missing minute of the source is simply not there. */
  minute: number
  powerW: number
  voltageDv: number
  currentMa: number
}

/** A whole day; `samples` has up to 1440 entries in order. */
export interface ExcerptDay {
  /** The date in the source, e.g. `2006-12-17`. */
  date: string
  samples: MinuteSample[]
}

const MINUTES = 1440

/**
 * The excerpt as text: comment lines with `#`, then for each day a line `@date` and 1440 lines
 * `power_w,voltage_dv,current_ma`, one a minute from 00:00, empty where the source has a gap.
 */
export function formatExcerpt(days: readonly ExcerptDay[], comment: readonly string[]): string {
  const lines = comment.map((line) => `# ${line}`)
  for (const { date, samples } of days) {
    const rows: string[] = Array.from({ length: MINUTES }, () => '')
    for (const s of samples) rows[s.minute] = `${s.powerW},${s.voltageDv},${s.currentMa}`
    lines.push(`@${date}`, ...rows)
  }
  return `${lines.join('\n')}\n`
}

/** The mirror of `formatExcerpt`; throws `household/bad-excerpt` naming the line. */
export function parseExcerpt(text: string): ExcerptDay[] {
  const lines = text.split('\n')
  const days: ExcerptDay[] = []
  let at = lines.findIndex((line) => !line.startsWith('#'))
  while (at >= 0 && at < lines.length - 1) {
    const date = lines[at] ?? ''
    if (!/^@\d{4}-\d\d-\d\d$/.test(date)) throw badExcerpt(at, 'expected @date')
    if (at + MINUTES >= lines.length) throw badExcerpt(at, 'the day is cut short')
    days.push({ date: date.slice(1), samples: daySamples(lines, at + 1) })
    at += 1 + MINUTES
  }
  if (days.length === 0) throw badExcerpt(0, 'no day in it')
  return days
}

function daySamples(lines: string[], at: number): MinuteSample[] {
  const samples: MinuteSample[] = []
  for (let minute = 0; minute < MINUTES; minute++) {
    const line = lines[at + minute] ?? ''
    if (line === '') continue
    const match = /^(-?\d+),(\d+),(\d+)$/.exec(line)
    if (match === null) throw badExcerpt(at + minute, 'expected power_w,voltage_dv,current_ma')
    const [powerW, voltageDv, currentMa] = [Number(match[1]), Number(match[2]), Number(match[3])]
    samples.push({ minute, powerW, voltageDv, currentMa })
  }
  return samples
}

function badExcerpt(index: number, what: string): CodedError {
  return new CodedError('household/bad-excerpt', `excerpt line ${index + 1}: ${what}`)
}

/**
 * The samples of one house on one day. Different houses start on different days of the excerpt;
 * house h on its day d sees day h + d, going round at the end.
 */
export function* replayDay(
  days: readonly ExcerptDay[],
  house: number,
  day = 0,
): Generator<MinuteSample, void> {
  const chosen = days[(house + day) % days.length]
  if (chosen === undefined) {
    throw new CodedError('household/no-day', 'house and day must be integers from 0')
  }
  yield* chosen.samples
}
