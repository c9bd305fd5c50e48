import type { Rules } from './rules.ts'

/** As a rate: none to speak of. Finite, because ∞ − ∞ is no number to keep account in. */
export const NO_RATE = Number.MAX_SAFE_INTEGER

/** What a frame guard enforces. */
export interface GuardLimits {
  connectBytes: number
  packetBytes: number
  packetsPerSecond: number
  bytesPerSecond: number
}

/** Reasons to disconnect. Lengths that are no lengths count as `packet-type`. */
export type Violation = 'packet-type' | 'packet-size' | 'packet-rate'

/** MQTT 3.1.1 §2.2: packet type in the high half of the first byte, flags in the low one. */
const CONNECT = 0x10
const PUBLISH = 0x30
const QOS_1 = 0x02
const laterPackets: ReadonlySet<number> = new Set([
  PUBLISH,
  PUBLISH | QOS_1,
  0x40, // PUBACK
  0x82, // SUBSCRIBE
  0xa2, // UNSUBSCRIBE
  0xc0, // PINGREQ
  0xe0, // DISCONNECT
])
/** DUP and RETAIN of a PUBLISH are the business of later rules. */
const PUBLISH_FREE_FLAGS = 0x09

/** A bucket holds this many seconds of its rate; this many seconds of debt are a flood. */
const BURST_SECONDS = 2
const FLOOD_SECONDS = 10

/**
 * Looks at the bytes of one connection before the MQTT parser does, and follows packet boundaries
 * without keeping anything: a packet is judged by its first bytes, when none of it is buffered yet.
 * Rates are two leaky buckets: whoever exceeds them is read from more slowly (`waitMs`), since a
 * meter that was long away has honest reasons to hurry; whoever floods is refused.
 */
export class FrameGuard {
  readonly #limits: GuardLimits
  readonly #rules: Rules
  #first = true
  /** Bytes of the current packet still to come; meaningless while a header is being read. */
  #bodyLeft = 0
  /** Length bytes read so far of the header being read; −1 between packets. */
  #lengthBytes = -1
  #length = 0
  /** Credit left in each bucket, negative when in debt, as of `#sinceMs`. */
  #packetCredit: number
  #byteCredit: number
  #sinceMs: number

  constructor(limits: GuardLimits, rules: Rules, nowMs: number) {
    this.#limits = limits
    this.#rules = rules
    this.#packetCredit = limits.packetsPerSecond * BURST_SECONDS
    this.#byteCredit = limits.bytesPerSecond * BURST_SECONDS
    this.#sinceMs = nowMs
  }

  /** Judges the next bytes of the stream. After a violation the connection must end. */
  inspect(bytes: Uint8Array, nowMs: number): Violation | null {
    let packets = 0
    let at = 0
    while (at < bytes.length) {
      if (this.#lengthBytes < 0 && this.#bodyLeft > 0) {
        const step = Math.min(this.#bodyLeft, bytes.length - at)
        this.#bodyLeft -= step
        at += step
        continue
      }
      const byte = bytes[at++] as number
      if (this.#lengthBytes < 0) packets++
      const violation = this.#lengthBytes < 0 ? this.#startPacket(byte) : this.#addLength(byte)
      if (violation !== null && this.#rules.has(violation)) return violation
    }
    return this.#spend(packets, bytes.length, nowMs)
  }

  /** How long to leave this connection unread, in ms; 0 when it is within its rates. */
  get waitMs(): number {
    if (!this.#rules.has('packet-rate')) return 0
    const { packetsPerSecond, bytesPerSecond } = this.#limits
    const packetDebt = -this.#packetCredit / packetsPerSecond
    const byteDebt = -this.#byteCredit / bytesPerSecond
    return Math.max(0, Math.ceil(Math.max(packetDebt, byteDebt) * 1_000))
  }

  #startPacket(byte: number): Violation | null {
    this.#lengthBytes = 0
    this.#length = 0
    if (this.#first) return byte === CONNECT ? null : 'packet-type'
    const kind = byte >> 4 === PUBLISH >> 4 ? byte & ~PUBLISH_FREE_FLAGS : byte
    return laterPackets.has(kind) ? null : 'packet-type'
  }

  /** MQTT 3.1.1 §2.2.3: seven bits a byte, least significant first, at most four bytes. */
  #addLength(byte: number): Violation | null {
    this.#length += (byte & 0x7f) * 2 ** (7 * this.#lengthBytes)
    this.#lengthBytes++
    const limit = this.#first ? this.#limits.connectBytes : this.#limits.packetBytes
    if (this.#length > limit && this.#rules.has('packet-size')) return 'packet-size'
    if ((byte & 0x80) !== 0) return this.#lengthBytes === 4 ? 'packet-type' : null
    const padded = byte === 0 && this.#lengthBytes > 1
    this.#bodyLeft = this.#length
    this.#lengthBytes = -1
    this.#first = false
    return padded ? 'packet-type' : null
  }

  #spend(packets: number, bytes: number, nowMs: number): Violation | null {
    const { packetsPerSecond, bytesPerSecond } = this.#limits
    const passedS = Math.max(0, nowMs - this.#sinceMs) / 1_000
    this.#sinceMs = nowMs
    this.#packetCredit = refilled(this.#packetCredit, packetsPerSecond, passedS) - packets
    this.#byteCredit = refilled(this.#byteCredit, bytesPerSecond, passedS) - bytes
    if (!this.#rules.has('packet-rate')) return null
    const floods =
      this.#packetCredit < -packetsPerSecond * FLOOD_SECONDS ||
      this.#byteCredit < -bytesPerSecond * FLOOD_SECONDS
    return floods ? 'packet-rate' : null
  }
}

function refilled(credit: number, perSecond: number, passedS: number): number {
  return Math.min(perSecond * BURST_SECONDS, credit + perSecond * passedS)
}
