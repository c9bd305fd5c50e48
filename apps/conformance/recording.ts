import type { Credential } from '#credential'
import type { ReceivedUp } from '#messages'

/** What the meter did, as far as the acts of the conformance run wait for it. */
export type Seen =
  | { readonly type: 'connected'; readonly cid: string }
  | { readonly type: 'gone'; readonly cid: string }
  /** `again`: the bytes of the handshake's message_1 once more. The same for message_3. */
  | {
      readonly type: 'message-1'
      readonly cid: string
      readonly epoch: number
      readonly again: boolean
    }
  | { readonly type: 'message-3'; readonly cid: string; readonly again: boolean }
  | { readonly type: 'edhoc-error'; readonly cid: string }
  | {
      readonly type: 'session'
      readonly cid: string
      readonly epoch: number
      readonly peer: Credential
    }
  /** A record, whether it opened or not. */
  | { readonly type: 'record'; readonly cid: string; readonly epoch: number }
  | { readonly type: 'up'; readonly cid: string; readonly message: ReceivedUp }
  /** A signed block; `again` when it was seen before. */
  | {
      readonly type: 'block'
      readonly cid: string
      readonly first: number
      readonly last: number
      readonly again: boolean
    }

/** Everything seen so far, and waiting for more. */
export class Recording {
  readonly #seen: Seen[] = []
  readonly #waiting = new Set<() => void>()

  add(seen: Seen): void {
    this.#seen.push(seen)
    for (const look of this.#waiting) look()
  }

  /** A place to look from: what is added from now on lies after it. */
  mark(): number {
    return this.#seen.length
  }

  since(mark: number): readonly Seen[] {
    return this.#seen.slice(mark)
  }

  /** The first that fits after `mark`; null when none has come within `ms`. */
  until(mark: number, fits: (seen: Seen) => boolean, ms: number): Promise<Seen | null> {
    return new Promise((resolve) => {
      let at = mark
      const end = (found: Seen | null) => {
        clearTimeout(timer)
        this.#waiting.delete(look)
        resolve(found)
      }
      const look = () => {
        for (; at < this.#seen.length; at++) {
          const seen = this.#seen[at]!
          if (fits(seen)) return end(seen)
        }
      }
      const timer = setTimeout(() => end(null), ms)
      this.#waiting.add(look)
      look()
    })
  }
}
