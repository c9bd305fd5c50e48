import { equal } from '#bytes'
import { abandon, type ResponderWait3 } from '#edhoc'

/** A handshake whose message_2 is out and whose message_3 has not come. */
export interface HalfOpen {
  readonly cid: string
  readonly cI: number
  readonly cR: number
  readonly epoch: number
  readonly state: ResponderWait3
  readonly message1: Uint8Array
  /** The answer, repeated byte for byte when message_1 comes again. */
  readonly frame2: Uint8Array
  readonly startedAtMs: number
}

/** Two a channel, so that a replayed message_1 cannot push out the handshake that is going on. */
const PER_CHANNEL = 2

/** Unfinished handshakes, bounded; the oldest makes room. */
export class HalfOpenTable {
  readonly #capacity: number
  /** Oldest first, as a Set keeps insertion order. */
  readonly #all = new Set<HalfOpen>()
  readonly #byChannel = new Map<string, HalfOpen[]>()

  constructor(capacity: number) {
    this.#capacity = capacity
  }

  get size(): number {
    return this.#all.size
  }

  of(cid: string): readonly HalfOpen[] {
    return this.#byChannel.get(cid) ?? []
  }

  byMessage1(cid: string, message1: Uint8Array): HalfOpen | undefined {
    return this.of(cid).find((half) => equal(half.message1, message1))
  }

  byIdentifier(cid: string, cR: number): HalfOpen | undefined {
    return this.of(cid).find((half) => half.cR === cR)
  }

  add(half: HalfOpen): void {
    const mine = this.of(half.cid)
    if (mine.length >= PER_CHANNEL && mine[0]) this.#abandon(mine[0])
    this.#all.add(half)
    this.#byChannel.set(half.cid, [...this.of(half.cid), half])
    for (const oldest of this.#all) {
      if (this.#all.size <= this.#capacity) break
      this.#abandon(oldest)
    }
  }

  /** Takes one out, to go on with it. */
  delete(half: HalfOpen): void {
    this.#all.delete(half)
    const left = this.of(half.cid).filter((other) => other !== half)
    if (left.length > 0) this.#byChannel.set(half.cid, left)
    else this.#byChannel.delete(half.cid)
  }

  deleteChannel(cid: string): void {
    for (const half of this.of(cid)) this.#abandon(half)
  }

  /** Forgets handshakes begun before `beforeMs`. */
  expire(beforeMs: number): void {
    for (const half of this.#all) {
      if (half.startedAtMs >= beforeMs) return
      this.#abandon(half)
    }
  }

  #abandon(half: HalfOpen): void {
    this.delete(half)
    abandon(half.state)
  }
}
