import { fstatSync } from 'node:fs'
import { isatty } from 'node:tty'
import { destination, pino, stdTimeFunctions, type Logger } from 'pino'

export type { Logger } from 'pino'
export type LogLevel = 'error' | 'warn' | 'info' | 'debug'

const STDERR = 2

/** pino's level numbers as priorities of syslog, see sd-daemon(3). */
const priorities: Readonly<Record<number, number>> = { 10: 7, 20: 7, 30: 6, 40: 4, 50: 3, 60: 2 }

type Line = (json: string, level: number) => string

/**
 * A logger on stderr, because stdout is for data: one JSON object a line, with a `<N>` priority in
 * front when the journal listens, or one readable line when a person does. Messages are constant
 * sentences; what varies is in fields. Never log keys, credentials' private parts or readings.
 */
export function createLogger(options: { name: string; level?: LogLevel }): Logger {
  const out = destination({ fd: STDERR, sync: true })
  const line = lineFormat()
  const stream = {
    // pino tells streams that carry this symbol the level of the line it writes next.
    [Symbol.for('pino.metadata')]: true,
    lastLevel: 30,
    write(json: string) {
      out.write(line(json, this.lastLevel))
    },
  }
  const settings = {
    base: { name: options.name },
    level: options.level ?? 'info',
    timestamp: stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
  }
  return pino(settings, stream)
}

function lineFormat(): Line {
  if (journalListens()) return (json, level) => `<${priorities[level] ?? 6}>${json}`
  if (isatty(STDERR)) return prettyLine
  return (json) => json
}

/** JOURNAL_STREAM names the journal's own end; a child with its stderr elsewhere inherits it too. */
function journalListens(): boolean {
  const stream = process.env['JOURNAL_STREAM']
  if (stream === undefined) return false
  const { dev, ino } = fstatSync(STDERR)
  return stream === `${dev}:${ino}`
}

/** `12:00:00.000 info  listening port=1883`; control characters stay escaped as JSON has them. */
export function prettyLine(json: string): string {
  const { time, level, msg, name: _, err, ...fields } = JSON.parse(json) as Record<string, unknown>
  const rest = Object.entries(fields).map(([key, value]) => `${key}=${plain(value)}`)
  const stack = err === undefined ? [] : [plain(err)]
  const start = `${String(time).slice(11, 23)} ${String(level).padEnd(5)} ${plain(msg ?? '')}`
  return `${[start, ...rest, ...stack].join(' ')}\n`
}

function plain(value: unknown): string {
  const text = JSON.stringify(value)
  return /^"[^"\\]*"$/.test(text) ? text.slice(1, -1) : text
}
