import type { Measurement } from '#meter'
import type { Clock } from '#ports'
import { timeQuality } from '#reading'
import type { TimeSense } from './clock.ts'
import type { PortLog } from './port-report.ts'

/** A grid operator sets its meters to the second; minutes off is not delay any more. */
const MAX_OFF_S = 120

export type Moment = Pick<Measurement, 'timeS' | 'timeQuality' | 'ageS'>

/**
 * When a telegram was sent, which itself says `timeS`. In a file that is what it says. What comes now is dated by this machine,
 * whose clock is kept by a time service; while it is not yet, by the meter, whose clock somebody may
 * have set wrong: that time counts as estimated.
 */
export function createDating(options: { clock: Clock; time: TimeSense; log: PortLog }) {
  const { clock, time, log } = options
  let off = false

  function judge(timeS: number | null, nowS: number): void {
    if (timeS === null) return
    const bySeconds = timeS - nowS
    const was = off
    off = Math.abs(bySeconds) > MAX_OFF_S
    if (off && !was) {
      const message =
        "the meter's clock is wrong; this machine's is used (a whole hour: source.utc_offset_minutes)"
      log.warn({ event: 'meter-clock', bySeconds }, message)
    }
  }

  return (timeS: number | null, live: boolean): Moment => {
    if (!live && timeS !== null) return { timeS }
    const nowS = Math.max(0, Math.floor(clock.now() / 1_000))
    const ageS = time.boot.ageS()
    if (time.known()) {
      judge(timeS, nowS)
      return { timeS: nowS, ageS }
    }
    if (timeS !== null) return { timeS, ageS, timeQuality: timeQuality.estimated }
    return { timeS: nowS, ageS, timeQuality: timeQuality.unknown }
  }
}
