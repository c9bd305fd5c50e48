import { utf8 } from '#bytes'
import type { Crypto } from '#crypto'
import type { Exporter } from '#edhoc'
import type { Direction, RecordLimits } from './context.ts'
import { createOpener, type Opener } from './opener.ts'
import { createSealer, type Sealer } from './sealer.ts'

/** Exporter labels, from the range for private use (RFC 9528 §10.1). Index: direction. */
export const recordLabels = { key: [32768, 32769], iv: [32770, 32771] } as const

const KEY_BYTES = 32
const IV_BYTES = 12

export interface PairOptions {
  readonly role: 'initiator' | 'responder'
  readonly channelId: string
  /** Number of the handshake on this channel, from 0. */
  readonly epoch: number
  /** Monotonic time of the handshake. */
  readonly monoMs: number
  readonly limits?: Partial<RecordLimits>
}

/** One side's two halves of a session. */
export interface RecordPair {
  readonly sealer: Sealer
  readonly opener: Opener
}

/** The keys of both directions from a finished EDHOC session. */
export function deriveRecordPair(
  exporter: Exporter,
  crypto: Crypto,
  options: PairOptions,
): RecordPair {
  const { role, channelId, epoch, monoMs, limits = {} } = options
  const exportContext = utf8(channelId)
  const contextOf = (direction: Direction) => {
    const key = exporter(recordLabels.key[direction], exportContext, KEY_BYTES)
    const iv = exporter(recordLabels.iv[direction], exportContext, IV_BYTES)
    const prepared = crypto.aead(key)
    key.fill(0)
    return { key: prepared, iv, channelId, direction, epoch, nowMs: monoMs, limits }
  }
  const [toResponder, toInitiator] = [contextOf(0), contextOf(1)]
  return role === 'initiator'
    ? { sealer: createSealer(toResponder), opener: createOpener(toInitiator) }
    : { sealer: createSealer(toInitiator), opener: createOpener(toResponder) }
}
