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

/** Header and Partial IV of a record. `counter` is below 2^53. */
export function encodeHead(epoch: number, counter: number): Uint8Array {
  let length = 1
  for (let limit = 256; counter >= limit; limit *= 256) length++
  const head = new Uint8Array(1 + length)
  head[0] = ((epoch & 3) << 3) | (length - 1)
  let rest = counter
  for (let i = length; i > 0; i--) {
    const byte = rest % 256
    head[i] = byte
    rest = (rest - byte) / 256
  }
  return head
}

/**
 * Mirrors `encodeHead`: the counter of a record, or -1 for bytes no sealer of ours writes.
 */
export function counterOf(frame: Uint8Array): number {
  const end = headLength(frame)
  if (!isRecord(frame) || frame.length < end + TAG_BYTES) return -1
  if (end > 2 && frame[1] === 0) return -1
  let counter = 0
  for (let i = 1; i < end; i++) counter = counter * 256 + (frame[i] as number)
  return counter <= Number.MAX_SAFE_INTEGER ? counter : -1
}

/** Where the ciphertext of a record begins. */
export function headLength(frame: Uint8Array): number {
  return 2 + ((frame[0] ?? 0) & 7)
}

/**
 * nonce = IV xor counter, RFC 9052 §3.1 (Partial IV); the Partial IV at the end of `head` already
 * is the counter in big endian. Overwrites `nonce`, which a session allocates once.
 */
export function setNonce(nonce: Uint8Array, iv: Uint8Array, head: Uint8Array, end: number): void {
  nonce.set(iv)
  for (let from = end - 1, to = iv.length - 1; from >= 1; from--, to--)
    nonce[to] = (nonce[to] as number) ^ (head[from] as number)
}

/** The full COSE_Encrypt0 (untagged) a record stands for, or null for bytes that are none. */
export function expandRecord(frame: Uint8Array): Uint8Array | null {
  if (counterOf(frame) < 0) return null
  const end = headLength(frame)
  const unprotected = new Map([[PARTIAL_IV, frame.slice(1, end)]])
  return encode([new Uint8Array(), unprotected, frame.slice(end)])
}
