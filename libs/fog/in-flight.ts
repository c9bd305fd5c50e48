import type { Core } from './core.ts'
import { positionAfter, resetLive, type Meter, type PendingBlock } from './meter.ts'

/** Whether one more block or check of this meter would be too many. */
export function isOverloaded(core: Core, meter: Meter): boolean {
  return (
    meter.pending.length + meter.checks >= core.settings.maxInFlightPerMeter ||
    core.inFlight >= 2 * core.settings.maxInFlight
  )
}

/** Takes a block and everything staged after it back; returns how many came after it. */
export function withdraw(core: Core, pending: PendingBlock): number {
  const { meter } = pending
  const index = meter.pending.indexOf(pending)
  const gone = meter.pending.splice(index)
  for (const entry of gone) entry.state = 'dropped'
  const before = meter.pending.at(-1)
  meter.tip = before ? positionAfter(before.block.statement) : meter.durable
  resetLive(meter)
  core.inFlight -= gone.length
  core.ready = core.ready.filter(({ state }) => state !== 'dropped')
  return gone.length - 1
}

/** Takes back every block of a meter that is not in the queue for the next commit. */
export function withdrawUnjudged(core: Core, meter: Meter): void {
  const first = meter.pending.find(({ queued }) => !queued)
  if (first !== undefined) withdraw(core, first)
}
