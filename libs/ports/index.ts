/** What every core takes as a parameter, so that a whole system can run under virtual time. */

export interface Clock {
  /** Wall time in milliseconds since 1970. Data and labels only, never a security decision alone. */
  now(): number
  /** Milliseconds that never step back, from an arbitrary origin. All timeouts use this. */
  monotonic(): number
}

/** Returns `length` cryptographically random bytes. */
export type Random = (length: number) => Uint8Array

/**
 * Wall time in milliseconds of an ISO 8601 date, or date and time with zone; NaN when there is no
 * such moment. Date.parse alone turns February 30 into March 2.
 */
export function parseIso(text: string): number {
  const day = Date.parse(`${text.slice(0, 10)}T00:00:00Z`)
  const exists = Number.isFinite(day) && new Date(day).toISOString().startsWith(text.slice(0, 10))
  return exists ? Date.parse(text) : Number.NaN
}
