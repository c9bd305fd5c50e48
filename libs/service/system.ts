import { randomFillSync } from 'node:crypto'
import { performance } from 'node:perf_hooks'
import type { Clock, Random } from '#ports'

/** The machine's own clock. `monotonic` counts from the start of the process. */
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
}

/** The kernel's randomness. */
export const systemRandom: Random = (length) => randomFillSync(new Uint8Array(length))
