import type { Window } from './state.ts'

/** Names and meanings as in the configuration; see `windowDefaults`. */
export interface WindowSettings {
  /** Length of a window. */
  seconds: number
  /** How far the watermark stays behind the meters. */
  graceSeconds: number
  /** With nothing new in any window for this long, all are closed. */
  idleSeconds: number
  /** Fewer distinct meters than this are never shown alone. */
  minMeters: number
  /** Quiet time after a late reading before a revision is issued. */
  revisionDelayMs: number
  /** A meter silent for longer has no say in the watermark. */
  activeSeconds: number
  /** How far ahead a window with too few meters may be merged. */
  maxMergeSeconds: number
  /** Most windows in memory. */
  maxWindows: number
}

/** After this many delays a window that is still being added to is revised all the same. */
const PATIENCE = 8

/**
 * Whether something new in `window` should be issued now. A window filled in time closes when the
 * watermark passes its end. One that is behind already (late readings, a catching-up meter) waits
 * for a quiet moment, so that a burst makes one revision; each further revision waits twice as
 * long, up to the length of a window, so that a meter with a stopped clock cannot cause a stream of
 * them. A window that has stood still for longer than any orderly one would closes without the
 * watermark: a lone clock in the far future, or meters that went away.
 */
export function isDue(
  window: Window,
  settings: WindowSettings,
  watermarkS: number | null,
  nowMs: number,
): boolean {
  const quietMs = nowMs - window.addedMs
  const { seconds, graceSeconds, idleSeconds } = settings
  if (quietMs >= (seconds + graceSeconds + idleSeconds) * 1000) return true
  // Once it is over it stays over, even if a meter that catches up pulls the watermark back.
  const over = window.issued > 0 || window.late
  if (!over) return watermarkS !== null && watermarkS >= window.endS
  const delayMs = revisionDelay(settings, window.issued)
  return quietMs >= delayMs || nowMs - window.pendingSinceMs >= PATIENCE * delayMs
}

function revisionDelay({ revisionDelayMs, seconds }: WindowSettings, issued: number): number {
  const doubled = revisionDelayMs * 2 ** Math.min(issued, 20)
  return Math.max(revisionDelayMs, Math.min(doubled, seconds * 1000))
}
