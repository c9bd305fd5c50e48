/** CBOR sequences (RFC 8742), in which every EDHOC message and plaintext is written. */
import { decodeSequence, type CborValue } from '#cbor'
import { edhocError } from './errors.ts'
import { MESSAGE_BYTES } from './limits.ts'

/**
 * Mirrors `encodeSequence` of `#cbor`. Only deterministic encodings pass (RFC 9528 §3.1), so encoding
 * the items again gives the same bytes. @throws edhoc/too-large, edhoc/malformed
 */
export function decodeItems(name: string, bytes: Uint8Array): CborValue[] {
  if (bytes.length > MESSAGE_BYTES)
    throw edhocError('edhoc/too-large', `${name} has ${bytes.length} bytes, over ${MESSAGE_BYTES}`)
  try {
    return decodeSequence(bytes)
  } catch (error) {
    throw edhocError('edhoc/malformed', `${name} is not deterministic CBOR`, error)
  }
}

/** message_2, message_3 and message_4 are one byte string each. */
export function decodeSingleBytes(name: string, bytes: Uint8Array): Uint8Array {
  const items = decodeItems(name, bytes)
  const only = items[0]
  if (items.length !== 1 || !(only instanceof Uint8Array))
    throw edhocError('edhoc/malformed', `${name} must be one byte string`)
  return only
}
