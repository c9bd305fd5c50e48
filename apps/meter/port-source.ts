import { CodedError } from '#errors'
import type { Measurement } from '#meter'
import { createFollower, type FollowMemory } from '#telegram'
import { createDating } from './dating.ts'
import type { TimeSense } from './clock.ts'
import { createPortReport, type PortLog } from './port-report.ts'
import { createRhythm } from './rhythm.ts'
import { received, wireName, type WiredOptions } from './wired.ts'

export interface PortSourceOptions extends Omit<WiredOptions, 'report'> {
  time: TimeSense
  log: PortLog
  /** Time of the newest reading stored: a file goes on after it. */
  newestTimeS: number
  /** What the last run knew about the meter at the port. */
  remembered: FollowMemory | null
  /** Called once everything yielded so far has been taken. */
  remember: (memory: FollowMemory) => void
}

/**
 * Measurements from a meter at the other end of a wire, at most one in `interval_seconds`. Errors as `received`.
 */
export async function* fromPort(options: PortSourceOptions): AsyncGenerator<Measurement, void> {
  const { source, log, clock, newestTimeS, remembered, remember } = options
  const report = createPortReport(wireName(source), log)
  const follower = createFollower(remembered)
  const dated = createDating(options)
  const rhythm = createRhythm(source.intervalSeconds)
  let known = remembered

  function settle(): void {
    const memory = follower.memory()
    if (memory.meterId === known?.meterId && memory.powerFailures === known.powerFailures) return
    known = memory
    remember(memory)
  }

  for await (const { telegram, live } of received({ ...options, report })) {
    settle()
    const moment = dated(telegram.timeS, live)
    if (!live && telegram.timeS !== null && telegram.timeS <= newestTimeS) continue
    try {
      const measurement = { ...follower.follow(telegram), ...moment }
      const atS = live ? clock.monotonic() / 1_000 : telegram.timeS
      const taken = rhythm(measurement, atS)
      if (taken !== null) yield taken
    } catch (error) {
      if (!(error instanceof CodedError)) throw error
      report.refused(error)
    }
  }
  settle()
}
