import { codeOf } from '#errors'
import { countRefused, type Core } from './core.ts'
import { withdrawUnjudged } from './in-flight.ts'
import { resetLive, type Meter } from './meter.ts'

export function closeSession(core: Core, channelId: string): void {
  const meter = core.channels.get(channelId)
  if (meter === undefined) return
  core.channels.delete(channelId)
  core.newsDue.delete(meter)
  meter.channelId = null
  resetLive(meter)
  if (meter.id === null && meter.pending.length === 0) core.meters.delete(meter.deviceId)
}

/** Ends a session from this side; nothing happens when the meter has none. */
export function endSession(core: Core, meter: Meter, code: string): void {
  const { channelId } = meter
  if (channelId === null) return
  closeSession(core, channelId)
  core.link.drop(channelId, code)
}

/**
 * The last guard around what a meter sends: an error nobody foresaw costs that meter its session
 * and what of its blocks is not judged yet (it sends them again), and no other meter anything.
 */
export function contain(core: Core, meter: Meter, work: () => void): void {
  try {
    work()
  } catch (error) {
    countRefused(core, codeOf(error))
    withdrawUnjudged(core, meter)
    endSession(core, meter, 'fog/unexpected')
    core.onUnexpected?.(error, meter.deviceId)
  }
}
