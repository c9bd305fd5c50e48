import { printable } from '../printable.ts'

/** One line of JSON that is still JSON and also harmless to print. */
export function jsonLine(value: unknown): string {
  // JSON.stringify escapes C0 itself; the rest only occurs inside strings, where \u escapes are the same.
  return printable(JSON.stringify(value))
}

/** 1234 → `1.234`: W as kW, Wh as kWh. */
export function kilo(value: number | null, digits = 3): string {
  return value === null ? '–' : (value / 1000).toFixed(digits)
}

export function volts(value: number | null): string {
  return value === null ? '–' : value.toFixed(1)
}

/** `2026-01-31T12:00:00Z` → `2026-01-31 12:00:00`; headings say UTC. */
export function moment(iso: string | null): string {
  return iso === null ? '–' : iso.slice(0, 19).replace('T', ' ')
}

/** Seconds as people say them: `45s`, `15m`, `3h20m`, `2d4h`. */
export function duration(seconds: number | null): string {
  if (seconds === null) return '–'
  const s = Math.round(seconds)
  if (s < 60) return `${s}s`
  if (s < 3_600) return pair(s, 60, 'm', 1, 's')
  if (s < 86_400) return pair(s, 3_600, 'h', 60, 'm')
  return pair(s, 86_400, 'd', 3_600, 'h')
}

/** How far the newest window lies back. Meters that replay in quick motion are ahead of this clock. */
export function lag(seconds: number | null): string {
  return seconds !== null && seconds < 0 ? `${duration(-seconds)} ahead` : duration(seconds)
}

function pair(s: number, big: number, bigUnit: string, small: number, smallUnit: string): string {
  const rest = Math.floor((s % big) / small)
  return `${Math.floor(s / big)}${bigUnit}${rest === 0 ? '' : `${rest}${smallUnit}`}`
}
