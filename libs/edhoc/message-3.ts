/**
 * message_3 = ( CIPHERTEXT_3 : bstr )
 * PLAINTEXT_3 = ( ID_CRED_I / bstr / -24..23, Signature_or_MAC_3, ? EAD_3 )
 * RFC 9528 §5.4
 */
import { encode, encodeSequence } from '#cbor'
import { openText, sealText } from './aead.ts'
import { signBinding, verifyBinding, type Binding } from './authenticate.ts'
import { decodeEad, eadValues, encodeEad, type EadItem } from './ead.ts'
import { edhocError } from './errors.ts'
import { assertIdCred, compactIdCred, expandIdCred, type IdCred } from './id-cred.ts'
import { nextTranscript, traced } from './key-schedule.ts'
import { decodeItems, decodeSingleBytes } from './sequence.ts'
import { SIGNATURE_LENGTH } from './suite.ts'
import type { ResolvePeer, Session } from './types.ts'

/** `prk` is PRK_3e2m, which in method 0 is PRK_4e3m too. */
export interface Keys3 {
  readonly prk: Uint8Array
  readonly th3: Uint8Array
}

export interface Plaintext3 {
  readonly idCred: IdCred
  readonly signature: Uint8Array
  readonly ead: readonly EadItem[]
}

export function encodePlaintext3({ idCred, signature, ead }: Plaintext3): Uint8Array {
  return encodeSequence([compactIdCred(idCred), signature, ...eadValues(ead)])
}

/**
 * Mirrors `encodePlaintext3`. `eadBytes` is EAD_3 as sent, padding included.
 * @throws edhoc/malformed, edhoc/critical-ead
 */
export function decodePlaintext3(
  bytes: Uint8Array,
  knownEad: readonly number[],
): Plaintext3 & { eadBytes: Uint8Array } {
  const [idCred, signature, ...rest] = decodeItems('PLAINTEXT_3', bytes)
  if (!(signature instanceof Uint8Array) || signature.length !== SIGNATURE_LENGTH)
    throw edhocError('edhoc/malformed', 'Signature_or_MAC_3 is not a signature')
  return {
    idCred: expandIdCred('ID_CRED_I', idCred),
    signature,
    ead: decodeEad('EAD_3', rest, knownEad),
    eadBytes: encodeSequence(rest),
  }
}

const NO_BYTES = new Uint8Array()

function binding({ prk, th3 }: Keys3, idCred: IdCred, ead: Uint8Array): Binding {
  return { message: 3, prk, th: th3, cR: NO_BYTES, idCred, ead }
}

/** Initiator, §5.4.2. Returns message_3 and TH_4. */
export function composeMessage3(
  session: Session,
  keys: Keys3,
  ead: readonly EadItem[],
): { message3: Uint8Array; th4: Uint8Array } {
  const { own } = session
  const idCred = assertIdCred(own.idCred)
  const signature = signBinding(session, binding(keys, idCred, encodeEad(ead)), own)
  const plaintext = encodePlaintext3({ idCred, signature, ead })
  const ciphertext = sealText(session, 3, keys.prk, keys.th3, plaintext)
  const th4 = nextTranscript(session, 'TH_4', keys.th3, plaintext, own.cred)
  return { message3: traced(session, 'message_3', encode(ciphertext)), th4 }
}

/**
 * Responder, §5.4.3. Returns the fields and TH_4.
 * @throws edhoc/malformed, edhoc/too-large, edhoc/not-authentic, edhoc/critical-ead,
 *   edhoc/own-identity, edhoc/bad-signature, and whatever `resolve` throws
 */
export function openMessage3(
  session: Session,
  keys: Keys3,
  message3: Uint8Array,
  resolve: ResolvePeer,
): Plaintext3 & { th4: Uint8Array } {
  const ciphertext = decodeSingleBytes('message_3', message3)
  const plaintext = openText(session, 3, keys.prk, keys.th3, ciphertext)
  const fields = decodePlaintext3(plaintext, session.knownEad)
  const { idCred, signature, ead, eadBytes } = fields
  const peer = resolve(idCred, ead)
  verifyBinding(session, binding(keys, idCred, eadBytes), signature, peer, session.own)
  return { ...fields, th4: nextTranscript(session, 'TH_4', keys.th3, plaintext, peer.cred) }
}
