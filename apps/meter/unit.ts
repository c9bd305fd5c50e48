import type { Meter } from '#meter'
import type { InitiatorLink } from '#mqtt-link'

/**
 * A meter and its connection. Payloads go out in order; those the socket has no room for wait here
 * (never more than the delivery window and one block of live readings) and go when it has.
 */
export interface Unit {
  readonly meter: Meter
  link: InitiatorLink | null
  /** The source has ended or was told to stop. */
  finished: boolean
  send(payloads: readonly Uint8Array[]): void
  /** A new session: greets. */
  onOpen(): void
  onDrain: () => void
  onClosed: () => void
}

export function createUnit(meter: Meter): Unit {
  let waiting: Uint8Array[] = []

  function flush(): void {
    let sent = 0
    for (const payload of waiting) {
      if (unit.link?.send(payload) !== true) break
      sent += 1
    }
    if (sent > 0) waiting = waiting.slice(sent)
  }

  const unit: Unit = {
    meter,
    link: null,
    finished: false,
    send(payloads) {
      waiting.push(...payloads)
      flush()
    },
    onOpen() {
      waiting = []
      unit.send(meter.onOpen())
    },
    onDrain: flush,
    onClosed() {
      waiting = []
      meter.onClosed()
    },
  }
  return unit
}
