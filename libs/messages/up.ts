import type { Reading, SkippedRange } from '#reading'
import type { Item, ReceivedItem } from './item.ts'

/** From initiator (meter, fog) to responder (fog, cloud). */
export type Up =
  /** "I hold from `oldestHeld` on; everything below was receipted or given up; `next` is my next number." */
  | { type: 'hello'; oldestHeld: number; next: number }
  /** A reading as differences to the previous one: see #reading `encodeLive` / `decodeLive`. */
  | { type: 'live'; values: (number | null)[] }
  /** The signature over live readings `first`..`last` sent before. */
  | { type: 'block'; first: number; last: number; skipped: SkippedRange[]; signature: Uint8Array }
  /** A whole block; `body` is #reading `encodeBlock`, to be decoded with `decodeBlock(body, deviceId)`. */
  | { type: 'report'; body: Uint8Array }
  /** Outbox entries numbered `first`, `first + 1`, … */
  | { type: 'items'; first: number; items: Item[] }
  /** A reading in full, needing no predecessor: the first live reading after a session opens. */
  | { type: 'reading'; reading: Reading }

/** `Up` as decoded: single items may be unreadable without spoiling the rest. */
export type ReceivedUp =
  | Exclude<Up, { type: 'items' }>
  | { type: 'items'; first: number; items: ReceivedItem[] }
