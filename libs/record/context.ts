/** What seals and opens records in one direction of one epoch. */
import { encode } from '#cbor'
import { encStructure } from '#cose'
import type { AeadKey } from '#crypto'
import { defaults } from '#defaults'
import { CodedError } from '#errors'

/** 0: initiator to responder, 1: responder to initiator. */
export type Direction = 0 | 1

export interface RecordLimits {
  /** Counters this far behind the newest accepted one are no longer judged. */
  readonly replayWindow: number
  readonly rekeyAfterMs: number
  readonly rekeyAfterRecords: number
  readonly refuseAfterMs: number
  readonly refuseAfterRecords: number
  readonly alarmAfterFailures: number
  readonly dropAfterFailures: number
}

export interface RecordContext {
  readonly key: AeadKey
  /** 12 bytes from the EDHOC exporter. */
  readonly iv: Uint8Array
  readonly channelId: string
  readonly direction: Direction
  /** Number of the handshake on this channel, from 0. */
  readonly epoch: number
  /** Monotonic time of the handshake; every later time is compared with it. */
  readonly nowMs: number
  readonly limits?: Partial<RecordLimits>
}

const NONCE_BYTES = 12

export function limitsOf(context: RecordContext): RecordLimits {
  return { ...defaults.record, ...context.limits }
}

/**
 * A copy, since the caller wipes its own. @throws record/bad-argument
 */
export function ivOf({ iv }: RecordContext): Uint8Array {
  if (iv.length !== NONCE_BYTES) throw new CodedError('record/bad-argument', 'iv must be 12 bytes')
  return Uint8Array.from(iv)
}

/**
 * The same for every record of a context, so it is made once: Enc_structure (RFC 9052 §5.3) whose
 * external_aad names the channel, the direction and the full epoch. The counter is in the nonce.
 */
export function aadOf({ channelId, direction, epoch }: RecordContext): Uint8Array {
  return encStructure(new Uint8Array(), encode([channelId, direction, epoch]))
}
