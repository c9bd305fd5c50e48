import { reply, type Core } from './core.ts'
import type { Meter } from './meter.ts'

/** Bounds of what one tick passes on: a list may have 54 kB, and a node thousands of meters. */
const mostPerTick = { sessions: 64, bytes: 65_536 }

/** Remembers that a session just greeted has to hear of the list in force, once. */
export function newsFor(core: Core, meter: Meter): void {
  const { revocations } = core
  if (revocations !== null && meter.toldList < revocations.number) core.newsDue.add(meter)
}

/** The same for every open session, after a new list. */
export function newsForAll(core: Core): void {
  for (const meter of core.channels.values()) newsFor(core, meter)
}

/**
 * Passes the revocation list on, so that meters know of revoked fog nodes. One that gets lost on the
 * way comes again with the next session or the next list.
 */
export function sendNews(core: Core): void {
  const { revocations } = core
  if (revocations === null || core.newsDue.size === 0) return
  const { number, encoded } = revocations
  const most = Math.min(mostPerTick.sessions, Math.ceil(mostPerTick.bytes / encoded.length))
  for (const meter of [...core.newsDue].slice(0, most)) {
    core.newsDue.delete(meter)
    meter.toldList = number
    core.counters.listsSent += 1
    reply(core, meter, { type: 'revocations', list: encoded })
  }
}
