/** What every core takes as a parameter, so that a whole system can run under virtual time. */

export interface Clock {
  /** Wall time in milliseconds since 1970. Data and labels only, never a security decision alone. */
  now(): number
  /** Milliseconds that never step back, from an arbitrary origin. All timeouts use this. */
  monotonic(): number
}

/** Returns `length` cryptographically random bytes. */
export type Random = (length: number) => Uint8Array
