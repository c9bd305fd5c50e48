import { systemClock } from '#service'
import type { Time } from './surroundings.ts'

/**
 * The true time of one emulated chip. It is the machine's while the chip is awake, because then it
 * talks with real programs; sleep passes `scale` times as fast. `close` forgets what is due.
 */
export function createScaledTime(scale: number): Time & { close(): void } {
  const startMs = systemClock.now() - systemClock.monotonic()
  const timers = new Set<NodeJS.Timeout>()
  let skippedMs = 0

  function after(ms: number, run: () => void): void {
    const timer = setTimeout(() => {
      timers.delete(timer)
      run()
    }, ms)
    timers.add(timer)
  }

  return {
    nowMs: () => startMs + systemClock.monotonic() + skippedMs,
    after,
    asleep(ms, run) {
      after(ms / scale, () => {
        skippedMs += ms - ms / scale
        run()
      })
    },
    close() {
      for (const timer of timers) clearTimeout(timer)
      timers.clear()
    },
  }
}
