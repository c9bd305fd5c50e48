import { createSender, packItems, type DeliveryEvent, type Outbox, type Sender } from '#delivery'
import { defaults } from '#defaults'
import { decodeDown, encodeItems, encodeUp, type Down } from '#messages'
import type { Clock } from '#ports'

export interface UplinkOptions {
  outbox: Outbox
  clock: Clock
  windowItems?: number
  resendAfterMs?: number
  /** A signed revocation list arrived; the receiver checks it. */
  onRevocations(list: Uint8Array): void
  /** The cloud ended this channel: another program has connected as this fog node. */
  onSuperseded(): void
  onEvent?(event: DeliveryEvent): void
}

/** The fog's side of the link to the cloud: its outbox, sent in order, kept until receipted. */
export interface Uplink {
  /** The channel is open. All three return payloads to send, in order. */
  onOpen(): Uint8Array[]
  /** Throws `messages/malformed` or `cbor/…` for a message that is none. */
  onMessage(payload: Uint8Array): Uint8Array[]
  /** Looks for new items and handles timeouts; call a few times a second. */
  tick(): Uint8Array[]
  onClosed(): void
  /** The other side has been silent for too long: try the next one. */
  needsReconnect(): boolean
  counters: Sender['counters']
}

/** Item bodies per message: a record and its MQTT frame stay below the broker's packet limit. */
const maxBytes = 3_500

export function createUplink(options: UplinkOptions): Uplink {
  const sender = createSender({
    outbox: options.outbox,
    clock: options.clock,
    windowItems: options.windowItems ?? defaults.delivery.windowItems,
    resendAfterMs: options.resendAfterMs ?? defaults.delivery.resendAfterMs,
    hello: (oldestHeld, next) => encodeUp({ type: 'hello', oldestHeld, next }),
    frame: packItems({ maxBytes, encode: encodeItems }),
    onEvent: (event) => options.onEvent?.(event),
  })
  return {
    onOpen: () => sender.onOpen(),
    onMessage(payload) {
      const message: Down = decodeDown(payload)
      if (message.type === 'revocations') options.onRevocations(message.list)
      else if (message.type !== 'ended') return sender.onMessage(message)
      else if (message.code === 'superseded') options.onSuperseded()
      return []
    },
    tick: () => [...sender.tick(), ...sender.pump()],
    onClosed: () => sender.onClosed(),
    needsReconnect: () => sender.needsReconnect(),
    counters: () => sender.counters(),
  }
}
