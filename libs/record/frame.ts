/**
 * One record on the wire:
 *
 *   header 0b000eennn · Partial IV, nnn + 1 bytes · ciphertext and tag
 *
 * `ee` is the epoch modulo 4. The Partial IV is the record's counter, big endian, as short as it
 * can be; counter 0 is one zero byte. It is COSE_Encrypt0 [h'', {6: PIV}, ciphertext] (RFC 9052
 * §5.2) with everything constant left out, as RFC 8613 §6 does for OSCORE.
 */
import { encode } from '#cbor'

/** Poly1305. */
export const TAG_BYTES = 16

/** COSE header parameter 'Partial IV', RFC 9052 §3.1. */
const PARTIAL_IV = 6

export function isRecord(frame: Uint8Array): boolean {
  const header = frame[0]
  return header !== undefined && header < 0x20
}

/** Epoch modulo 4 of a record, to find the opener for it; meaningless for other frames. */
export function epochBits(frame: Uint8Array): number {
  return ((frame[0] ?? 0) >> 3) & 3
}

/** Bytes of the shortest Partial IV for a counter below 2^53. */
export function pivLength(counter: number): number {
  let length = 1
  for (let limit = 256; counter >= limit; limit *= 256) length++
  return length
}

/** The counter of a record, or -1 for bytes no sealer of ours writes. */
export function counterOf(frame: Uint8Array): number {
  const length = ((frame[0] ?? 0) & 7) + 1
  if (!isRecord(frame) || frame.length < 1 + length + TAG_BYTES) return -1
  if (length > 1 && frame[1] === 0) return -1
  let counter = 0
  for (let i = 1; i <= length; i++) counter = counter * 256 + (frame[i] as number)
  return counter <= Number.MAX_SAFE_INTEGER ? counter : -1
}

/** The full COSE_Encrypt0 (untagged) a record stands for, or null for bytes that are none. */
export function expandRecord(frame: Uint8Array): Uint8Array | null {
  if (counterOf(frame) < 0) return null
  const end = 1 + ((frame[0] ?? 0) & 7) + 1
  const unprotected = new Map([[PARTIAL_IV, frame.slice(1, end)]])
  return encode([new Uint8Array(), unprotected, frame.slice(end)])
}
