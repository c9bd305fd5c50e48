import { toHex } from '#bytes'
import { createSender, packItems, type DeliveryEvent, type Outbox, type Sender } from '#delivery'
import type { Crypto } from '#crypto'
import { defaults } from '#defaults'
import { decodeDown, decodeItem, encodeItems, encodeUp, itemMark, type Down } from '#messages'
import type { Clock } from '#ports'
import type { Receipts } from './store.ts'

/** A cloud node that holds less than it acknowledged. */
export interface SetBack {
  node: string
  /** Outbox numbers it holds now, and up to which it had acknowledged them. */
  durable: number
  receipted: number
}

export interface UplinkOptions {
  outbox: Outbox
  receipts: Receipts
  /** The store that numbers the outbox, for the cloud to tell from one that was lost. */
  store?: number
  clock: Clock
  crypto: Pick<Crypto, 'sha256'>
  windowItems?: number
  resendAfterMs?: number
  /** A signed revocation list arrived; the receiver checks it. */
  onRevocations(list: Uint8Array): void
  /** The cloud ended this channel: another program has connected as this fog node. */
  onSuperseded(): void
  /**
   * A welcome shows that the cloud node has forgotten something, and this side no longer holds it
   * under its number. What it lacks must be in the outbox, durable, when this returns; when it
   * throws, the session does not begin, and the next greeting says the same again.
   */
  onSetBack(setBack: SetBack): void
  /** The cloud refused this window for good, because it holds another history of it. */
  onWindowConflict(startS: number): void
  /** The cloud asks to take numbers of a meter out of the windows (see `Fog.withdraw`). */
  onWithdraw(deviceId: string, first: number, through: number): void
  /** The credential of a meter the cloud does not know; null when this node does not either. */
  credentialOf(deviceId: string): Uint8Array | null
  onEvent?(event: DeliveryEvent): void
}

/** The fog's side of the link to the cloud: its outbox, sent in order, kept until receipted. */
export interface Uplink {
  /** The channel to the cloud node `node` is open. All three return payloads to send, in order. */
  onOpen(node: string): Uint8Array[]
  /** Throws `messages/malformed` or `cbor/…` for a message that is none. */
  onMessage(payload: Uint8Array): Uint8Array[]
  /** Looks for new items and handles timeouts; call a few times a second. */
  tick(): Uint8Array[]
  onClosed(): void
  /** The other side has been silent for too long: try the next one. */
  needsReconnect(): boolean
  counters: Sender['counters']
}

type Answer = Extract<Down, Parameters<Sender['onMessage']>[0]>

/** Item bodies per message: a record and its MQTT frame stay below the broker's packet limit. */
const maxBytes = 3_500
/** Refused with this: the revision is stored with other values. */
const conflictCode = 'summary/conflict'

export function createUplink(options: UplinkOptions): Uplink {
  const { outbox, receipts } = options
  let node = ''
  /** The node, and its database if it says which: several nodes may share one. */
  let names: string[] = []

  function noticeSetBack(durable: number): void {
    const before = names.map((name) => ({ name, through: receipts.through(name) }))
    const receipted = Math.max(...before.map(({ through }) => through))
    if (durable >= receipted || durable >= outbox.oldest() - 1) return
    // Noted first, so that it is on disk together with what is sent again.
    for (const { name } of before) receipts.note(name, durable)
    try {
      options.onSetBack({ node, durable, receipted })
    } catch (error) {
      for (const { name, through } of before) receipts.note(name, through)
      throw error
    }
  }

  function refuse(first: number, last: number, code: string): void {
    const items = code === conflictCode ? outbox.read(first, last - first + 1) : []
    outbox.refuse(first, last, code)
    for (const { body } of items) {
      const item = decodeItem(body)
      if (item.type === 'summary') options.onWindowConflict(item.summary.startS)
    }
  }

  function answer(message: Answer): Uint8Array[] {
    if (message.type === 'welcome' && !sender.welcomed()) {
      const { database } = message
      names = database === undefined ? [node] : [node, `database ${toHex(database)}`]
      noticeSetBack(message.durable)
    }
    const payloads = sender.onMessage(message)
    if (!sender.welcomed()) return payloads
    for (const name of names) receipts.note(name, sender.counters().durable)
    return payloads
  }

  const { store } = options
  const sender = createSender({
    outbox: { ...outbox, refuse },
    clock: options.clock,
    windowItems: options.windowItems ?? defaults.delivery.windowItems,
    resendAfterMs: options.resendAfterMs ?? defaults.delivery.resendAfterMs,
    hello: (oldestHeld, next) =>
      encodeUp({ type: 'hello', oldestHeld, next, ...(store !== undefined && { store }) }),
    mark: (body) => itemMark(options.crypto, body),
    frame: packItems({ maxBytes, encode: encodeItems }),
    onEvent: (event) => options.onEvent?.(event),
  })
  return {
    onOpen(peer) {
      node = peer
      names = [peer]
      return sender.onOpen()
    },
    onMessage(payload) {
      const message: Down = decodeDown(payload)
      switch (message.type) {
        case 'revocations':
          options.onRevocations(message.list)
          return []
        case 'withdraw':
          options.onWithdraw(message.deviceId, message.first, message.through)
          return []
        case 'unknown': {
          const cwt = options.credentialOf(message.deviceId)
          return cwt === null ? [] : [encodeUp({ type: 'credential', cwt })]
        }
        case 'ended':
          if (message.code === 'superseded') options.onSuperseded()
          return []
        default:
          return answer(message)
      }
    },
    tick: () => [...sender.tick(), ...sender.pump()],
    onClosed: () => sender.onClosed(),
    needsReconnect: () => sender.needsReconnect(),
    counters: () => sender.counters(),
  }
}
