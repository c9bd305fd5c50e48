/** Up to when a meter's readings have come, by its own clock. */
export interface MeterProgress {
  /** Time of the newest reading to arrive, seconds since 1970. */
  timeS: number
  /** Monotonic ms of its arrival. */
  seenMs: number
}

/**
 * Reading time up to which windows are taken as complete: the lower median of what the active
 * meters have reached, minus grace; null without an active meter. A minority of meters with wild
 * clocks moves it neither forward nor back.
 */
export function watermarkS(
  progress: Iterable<MeterProgress>,
  nowMs: number,
  activeMs: number,
  graceS: number,
): number | null {
  const times: number[] = []
  for (const { timeS, seenMs } of progress) if (nowMs - seenMs <= activeMs) times.push(timeS)
  if (times.length === 0) return null
  // A typed array sorts numerically and fast.
  const sorted = Float64Array.from(times).toSorted()
  return sorted[(sorted.length - 1) >> 1]! - graceS
}
