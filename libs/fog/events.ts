import type { FogEvent } from '#messages'

/** Collects events between two transactions: one per code and device, however often it happened. */
export interface EventCollector {
  add(code: string, deviceId: string | null, timeS: number, detail: string): void
  readonly size: number
  /** Everything collected, first occurrence's time and detail, with the count where above one. */
  list(): FogEvent[]
  clear(): void
}

/** Beyond this many the rest are only counted: a misbehaving fleet must not fill the outbox. */
const maxKinds = 1_000

export function createEvents(): EventCollector {
  const entries = new Map<string, { event: FogEvent; count: number }>()
  let dropped = 0
  return {
    add(code, deviceId, timeS, detail) {
      const key = `${code} ${deviceId ?? ''}`
      const known = entries.get(key)
      if (known) known.count += 1
      else if (entries.size < maxKinds) {
        entries.set(key, { event: { code, timeS, deviceId, detail }, count: 1 })
      } else dropped += 1
    },
    get size() {
      return entries.size
    },
    list() {
      const events = [...entries.values()].map(withCount)
      const last = events.at(-1)
      if (dropped > 0 && last) {
        const detail = `${dropped} further events were not recorded`
        events.push({ code: 'events-dropped', timeS: last.timeS, deviceId: null, detail })
      }
      return events
    },
    clear() {
      entries.clear()
      dropped = 0
    },
  }
}

function withCount({ event, count }: { event: FogEvent; count: number }): FogEvent {
  return count === 1 ? event : { ...event, detail: `${event.detail} (and ${count - 1} more alike)` }
}
