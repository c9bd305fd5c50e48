import { decodeSequence } from '#cbor'
import { concat } from '#bytes'

/**
 * The first byte of a frame says what follows. EDHOC over a transport without its own correlation
 * puts `true` before message_1 and the receiver's connection identifier before everything else
 * (RFC 9528 §3.4.1); ours are the one-byte CBOR integers −1 … −24, so that a record, whose header
 * byte is below 0x20, can never be taken for one.
 *
 *     up    0xf5 ‖ message_1 · C_R ‖ message_3 · C_R ‖ error · record
 *     down  C_I ‖ message_2 · C_I ‖ message_4 · C_I ‖ error · record · 0xf6
 */
const MESSAGE_1 = 0xf5
const UNKNOWN_SESSION = 0xf6
const FIRST_IDENTIFIER = 0x20
const LAST_IDENTIFIER = 0x37

/** How many connection identifiers there are: 0x20 … 0x37. */
export const IDENTIFIERS = LAST_IDENTIFIER - FIRST_IDENTIFIER + 1

/** A frame taken apart as far as its first byte allows. */
export type Frame =
  | { readonly kind: 'message1'; readonly body: Uint8Array }
  | { readonly kind: 'handshake'; readonly id: number; readonly body: Uint8Array }
  | { readonly kind: 'error'; readonly id: number; readonly body: Uint8Array }
  | { readonly kind: 'record' }
  | { readonly kind: 'unknown-session' }
  | { readonly kind: 'malformed' }

const RECORD: Frame = { kind: 'record' }
const MALFORMED: Frame = { kind: 'malformed' }

export function parseFrame(frame: Uint8Array): Frame {
  const first = frame[0]
  if (first === undefined) return MALFORMED
  if (first < FIRST_IDENTIFIER) return RECORD
  if (first === MESSAGE_1) return { kind: 'message1', body: frame.subarray(1) }
  if (first === UNKNOWN_SESSION) return frame.length === 1 ? { kind: 'unknown-session' } : MALFORMED
  if (first > LAST_IDENTIFIER) return MALFORMED
  const body = frame.subarray(1)
  // An EDHOC error starts with an integer (ERR_CODE), messages 2 to 4 with a byte string.
  return { kind: isByteString(body[0]) ? 'handshake' : 'error', id: first, body }
}

export function message1Frame(message1: Uint8Array): Uint8Array {
  return concat(Uint8Array.of(MESSAGE_1), message1)
}

/** A handshake message or error for the side that chose `id`. */
export function handshakeFrame(id: number, body: Uint8Array): Uint8Array {
  return concat(Uint8Array.of(id), body)
}

export function unknownSessionFrame(): Uint8Array {
  return Uint8Array.of(UNKNOWN_SESSION)
}

/**
 * The low two bits of C_I are the number (modulo 4) of the epoch this handshake will make, so both
 * sides agree on it even when earlier attempts were lost; the rest is free and never repeats in a row.
 */
export function initiatorIdentifier(epoch: number, free: number): number {
  return FIRST_IDENTIFIER + 4 * (free % (IDENTIFIERS / 4)) + (epoch & 3)
}

export function epochOfIdentifier(cI: number): number {
  return cI & 3
}

/** A connection identifier for the responder that is none of `taken`; `start` (any byte) makes it random. */
export function responderIdentifier(start: number, taken: readonly number[]): number {
  for (let i = 0; i < IDENTIFIERS; i++) {
    const id = FIRST_IDENTIFIER + ((start + i) % IDENTIFIERS)
    if (!taken.includes(id)) return id
  }
  throw new Error('more connection identifiers taken than exist')
}

/**
 * C_I of a message_1 (METHOD, SUITES_I, G_X, C_I, ?EAD_1: RFC 9528 §5.2.1) without processing it,
 * to answer errors and to refuse epochs before any costly arithmetic. Null when it is not one of ours.
 */
export function peekIdentifier(message1: Uint8Array): number | null {
  try {
    const cI = decodeSequence(message1)[3]
    if (typeof cI !== 'number' || cI >= 0 || cI < -IDENTIFIERS) return null
    return FIRST_IDENTIFIER - 1 - cI
  } catch {
    return null
  }
}

function isByteString(first: number | undefined): boolean {
  return first !== undefined && first >> 5 === 2
}
