/**
 * message_2 = ( G_Y_CIPHERTEXT_2 : bstr )
 * PLAINTEXT_2 = ( C_R, ID_CRED_R / bstr / -24..23, Signature_or_MAC_2, ? EAD_2 )
 * RFC 9528 §5.3
 */
import { concat } from '#bytes'
import { encode, encodeSequence } from '#cbor'
import { signBinding, verifyBinding, type Binding } from './authenticate.ts'
import { decodeEad, eadValues, encodeEad, type EadItem } from './ead.ts'
import { edhocError } from './errors.ts'
import { assertIdCred, compactIdCred, expandIdCred, type IdCred } from './id-cred.ts'
import { decodeIdentifier, encodeIdentifier } from './identifier.ts'
import { keystream2, nextTranscript, traced, type Tools } from './key-schedule.ts'
import { decodeItems, decodeSingleBytes } from './sequence.ts'
import { AGREEMENT_LENGTH, SIGNATURE_LENGTH } from './suite.ts'
import type { OwnCredential, ResolvePeer, Session } from './types.ts'

/** What both sides know once they have G_XY. `prk` is PRK_2e. */
export interface Keys2 {
  readonly prk: Uint8Array
  readonly th2: Uint8Array
}

export interface Plaintext2 {
  readonly cR: Uint8Array
  readonly idCred: IdCred
  readonly signature: Uint8Array
  readonly ead: readonly EadItem[]
}

export function encodePlaintext2({ cR, idCred, signature, ead }: Plaintext2): Uint8Array {
  const fields = [encodeIdentifier(cR), compactIdCred(idCred), signature]
  return encodeSequence([...fields, ...eadValues(ead)])
}

/**
 * Mirrors `encodePlaintext2`. `eadBytes` is EAD_2 as sent, padding included.
 * @throws edhoc/malformed, edhoc/critical-ead
 */
export function decodePlaintext2(
  bytes: Uint8Array,
  knownEad: readonly number[],
): Plaintext2 & { eadBytes: Uint8Array } {
  const [cR, idCred, signature, ...rest] = decodeItems('PLAINTEXT_2', bytes)
  if (!(signature instanceof Uint8Array) || signature.length !== SIGNATURE_LENGTH)
    throw edhocError('edhoc/malformed', 'Signature_or_MAC_2 is not a signature')
  return {
    cR: decodeIdentifier('C_R', cR),
    idCred: expandIdCred('ID_CRED_R', idCred),
    signature,
    ead: decodeEad('EAD_2', rest, knownEad),
    eadBytes: encodeSequence(rest),
  }
}

/** message_2 from its two parts; `splitMessage2` takes it apart again. */
function joinMessage2(gY: Uint8Array, ciphertext2: Uint8Array): Uint8Array {
  return encode(concat(gY, ciphertext2))
}

/** @throws edhoc/malformed, edhoc/too-large */
export function splitMessage2(message2: Uint8Array): { gY: Uint8Array; ciphertext2: Uint8Array } {
  const joined = decodeSingleBytes('message_2', message2)
  if (joined.length <= AGREEMENT_LENGTH)
    throw edhocError('edhoc/malformed', 'message_2 ends before CIPHERTEXT_2')
  return {
    gY: joined.subarray(0, AGREEMENT_LENGTH),
    ciphertext2: joined.subarray(AGREEMENT_LENGTH),
  }
}

/** PLAINTEXT_2 XOR KEYSTREAM_2, and back. Hides the responder from passive listeners only. */
function applyKeystream(tools: Tools, { prk, th2 }: Keys2, text: Uint8Array): Uint8Array {
  const keystream = keystream2(tools, prk, th2, text.length)
  for (let i = 0; i < text.length; i++)
    keystream[i] = (keystream[i] as number) ^ (text[i] as number)
  return keystream
}

function binding({ prk, th2 }: Keys2, cR: Uint8Array, idCred: IdCred, ead: Uint8Array): Binding {
  return { message: 2, prk, th: th2, cR: encode(encodeIdentifier(cR)), idCred, ead }
}

/** Responder, §5.3.2. Returns message_2 and TH_3. */
export function composeMessage2(
  session: Session,
  keys: Keys2,
  gY: Uint8Array,
  cR: Uint8Array,
  ead: readonly EadItem[],
): { message2: Uint8Array; th3: Uint8Array } {
  const own: OwnCredential = session.own
  const idCred = assertIdCred(own.idCred)
  const signature = signBinding(session, binding(keys, cR, idCred, encodeEad(ead)), own)
  const plaintext = encodePlaintext2({ cR, idCred, signature, ead })
  traced(session, 'PLAINTEXT_2', plaintext)
  const th3 = nextTranscript(session, 'TH_3', keys.th2, plaintext, own.cred)
  const ciphertext = applyKeystream(session, keys, plaintext)
  traced(session, 'CIPHERTEXT_2', ciphertext)
  return { message2: traced(session, 'message_2', joinMessage2(gY, ciphertext)), th3 }
}

/**
 * Initiator, §5.3.3, after `splitMessage2` and key agreement.
 * @throws edhoc/malformed, edhoc/critical-ead, edhoc/own-identity, edhoc/bad-signature, and
 *   whatever `resolve` throws
 */
export function openMessage2(
  session: Session,
  keys: Keys2,
  ciphertext2: Uint8Array,
  resolve: ResolvePeer,
): Plaintext2 & { th3: Uint8Array } {
  const plaintext = traced(session, 'PLAINTEXT_2', applyKeystream(session, keys, ciphertext2))
  const fields = decodePlaintext2(plaintext, session.knownEad)
  const { cR, idCred, signature, ead, eadBytes } = fields
  const peer = resolve(idCred, ead)
  verifyBinding(session, binding(keys, cR, idCred, eadBytes), signature, peer, session.own)
  return { ...fields, th3: nextTranscript(session, 'TH_3', keys.th2, plaintext, peer.cred) }
}
