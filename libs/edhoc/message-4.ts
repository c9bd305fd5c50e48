/**
 * message_4 = ( CIPHERTEXT_4 : bstr ), PLAINTEXT_4 = ( ? EAD_4 )
 * RFC 9528 §5.5. Always sent in our profile: it tells the initiator that the responder has the key.
 */
import { encode } from '#cbor'
import { openText, sealText } from './aead.ts'
import { decodeEad, encodeEad, type EadItem } from './ead.ts'
import { traced } from './key-schedule.ts'
import { decodeItems, decodeSingleBytes } from './sequence.ts'
import type { Session } from './types.ts'

/** `prk` is PRK_4e3m. */
export interface Keys4 {
  readonly prk: Uint8Array
  readonly th4: Uint8Array
}

/** Responder, §5.5.2. */
export function composeMessage4(
  session: Session,
  keys: Keys4,
  ead: readonly EadItem[],
): Uint8Array {
  const ciphertext = sealText(session, 4, keys.prk, keys.th4, encodeEad(ead))
  return traced(session, 'message_4', encode(ciphertext))
}

/**
 * Initiator, §5.5.3. Returns EAD_4.
 * @throws edhoc/malformed, edhoc/too-large, edhoc/not-authentic, edhoc/critical-ead
 */
export function openMessage4(session: Session, keys: Keys4, message4: Uint8Array): EadItem[] {
  const ciphertext = decodeSingleBytes('message_4', message4)
  const plaintext = openText(session, 4, keys.prk, keys.th4, ciphertext)
  return decodeEad('EAD_4', decodeItems('PLAINTEXT_4', plaintext), session.knownEad)
}
