import type { Time } from './surroundings.ts'

/**
 * What a chip's processor is busy with, and whose life it is: whatever was going on when the chip slept,
 * restarted or lost its power never goes on.
 */
export interface Processor {
  /** True time of the chip's present, ahead of everybody's while it has work. */
  nowMs: () => number
  work: (ms: number) => void
  /** When it is done with what it has. */
  whenDone: (run: () => void) => void
  later(ms: number, run: () => void): void
  /** The same while it sleeps. */
  asleep(ms: number, run: () => void): void
  /** Ends what was going on. */
  newLife(): void
  /** `run`, but only in the life that it was made in. */
  mine<A extends unknown[]>(run: (...args: A) => void): (...args: A) => void
  /** The power went: work that was not done is not. */
  stop(): void
}

export function createProcessor(time: Time): Processor {
  let life = 0
  let busyUntilMs = 0

  const processor: Processor = {
    nowMs: () => Math.max(time.nowMs(), busyUntilMs),
    work: (ms) => void (busyUntilMs = processor.nowMs() + ms),
    whenDone: (run) => processor.later(processor.nowMs() - time.nowMs(), run),
    later: (ms, run) => time.after(Math.max(0, ms), processor.mine(run)),
    asleep: (ms, run) => time.asleep(processor.nowMs() - time.nowMs() + ms, processor.mine(run)),
    newLife: () => void (life += 1),
    mine(run) {
      const born = life
      return (...args) => {
        if (born === life) run(...args)
      }
    },
    stop: () => void (busyUntilMs = 0),
  }
  return processor
}
