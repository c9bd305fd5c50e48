import { fromHex } from '#bytes'
import { CodedError } from '#errors'
import { toBytes } from './text.ts'

/**
 * Encrypted telegrams, as meters in Luxembourg and Austria send them: DLMS general-global-ciphering
 * (IEC 62056-5-3, Green Book §9.2.7) with security suite 0:
 *
 *   DB 08 title(8) 82 length(2) 30 counter(4) ciphertext tag(12)
 *
 * AES-128-GCM; nonce = title ‖ counter, additional data = 30 ‖ authentication key.
 */
export interface Sealed {
  nonce: Uint8Array
  ciphertext: Uint8Array
  /** The first 12 bytes of the GCM tag. */
  tag: Uint8Array
}

const HEAD_LENGTH = 13
const TAG_LENGTH = 12
const CONTROL = 0x30
/** general-global-ciphering with a title of 8 bytes. */
const MARK = '\xdb\x08'
/** The length follows in two bytes. */
const LONG_LENGTH = 0x82

/**
 * The first encrypted frame in `text` and what follows it; `wait` while it is not whole, null when
 * there is none. What stands before it is dropped.
 */
export function cutEncrypted(text: string): { frame: string; rest: string } | 'wait' | null {
  const at = headOf(text)
  if (at < 0) return null
  const length = text.charCodeAt(at + 11) * 256 + text.charCodeAt(at + 12)
  const end = at + HEAD_LENGTH + length
  if (end > text.length) return 'wait'
  return { frame: text.slice(at, end), rest: text.slice(end) }
}

function headOf(text: string): number {
  let at = text.indexOf(MARK)
  while (at >= 0 && !isHead(text, at)) at = text.indexOf(MARK, at + 1)
  return at
}

function isHead(text: string, at: number): boolean {
  return text.charCodeAt(at + 10) === LONG_LENGTH && text.charCodeAt(at + 13) === CONTROL
}

/** Throws `p1/malformed` when the frame is too short to hold anything. */
export function parseEncrypted(frame: Uint8Array): Sealed {
  const body = frame.subarray(HEAD_LENGTH)
  if (body.length < 5 + TAG_LENGTH || body[0] !== CONTROL) {
    throw new CodedError('p1/malformed', 'an encrypted telegram that is too short')
  }
  const nonce = new Uint8Array(12)
  nonce.set(frame.subarray(2, 10))
  nonce.set(body.subarray(1, 5), 8)
  return { nonce, ciphertext: body.subarray(5, -TAG_LENGTH), tag: body.subarray(-TAG_LENGTH) }
}

/** What GCM authenticates beside the text. */
export function additionalData(authenticationKey: Uint8Array): Uint8Array {
  const data = new Uint8Array(1 + authenticationKey.length)
  data[0] = CONTROL
  data.set(authenticationKey, 1)
  return data
}

/** The authentication key where the grid operator gives none: public, the same for every meter. */
export const publicAuthenticationKey = fromHex('00112233445566778899aabbccddeeff')

/** For tests and other tools: the mirror of `parseEncrypted`. */
export function formatEncrypted({ nonce, ciphertext, tag }: Sealed): Uint8Array {
  const length = 5 + ciphertext.length + tag.length
  return Uint8Array.from([
    ...toBytes(MARK),
    ...nonce.subarray(0, 8),
    LONG_LENGTH,
    length >> 8,
    length & 0xff,
    CONTROL,
    ...nonce.subarray(8),
    ...ciphertext,
    ...tag,
  ])
}
