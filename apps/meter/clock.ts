import type { Clock } from '#ports'

/** 2025-01-01: a machine that says it is earlier does not know what time it is. */
export const NEVER_SET_S = 1_735_689_600

/** Wall time in seconds, or null from a clock that was never set: then no dates are judged. */
export function trustedSeconds(clock: Clock): number | null {
  const nowS = Math.floor(clock.now() / 1_000)
  return nowS < NEVER_SET_S ? null : nowS
}
