/**
 * The clock of a chip: an oscillator that is off by so much, counting from the moment the power came,
 * and what somebody has told it the time was.
 */
export interface Rtc {
  /** The power came at this true time: the count begins, the time is unknown. */
  powerOn(trueMs: number): void
  /** Ms since then, by its own count. */
  count(trueMs: number): number
  /** Wall time, ms since 1970, as the chip believes. */
  wall(trueMs: number): number
  /** A time server has answered, a little late. */
  set(trueMs: number, wallMs: number): void
  readonly known: boolean
  /** True milliseconds that pass while this one counts so many. */
  trueFor(countMs: number): number
}

export function createRtc(driftPpm: number): Rtc {
  const rate = 1 + driftPpm * 1e-6
  let poweredAtMs = 0
  let offsetMs = 0
  let known = false
  const rtc: Rtc = {
    powerOn(trueMs) {
      poweredAtMs = trueMs
      offsetMs = 0
      known = false
    },
    count: (trueMs) => Math.max(0, (trueMs - poweredAtMs) * rate),
    wall: (trueMs) => offsetMs + rtc.count(trueMs),
    set(trueMs, wallMs) {
      offsetMs = wallMs - rtc.count(trueMs)
      known = true
    },
    get known() {
      return known
    },
    trueFor: (countMs) => countMs / rate,
  }
  return rtc
}
