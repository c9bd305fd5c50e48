/**
 * What a new device sends: its public key, signed by it, and the proof that somebody approved it.
 *
 *   request = [ asked: COSE_Sign1 by the device's key, proof: null / [ token-key, COSE_Sign1 by it ] ]
 *
 * Both signatures cover the same payload, [name, public key], so neither can be moved to another
 * name or another key. Nothing in it is secret.
 */
import { decode, encode, type CborValue } from '#cbor'
import { signSign1, verifySign1 } from '#cose'
import { NAME_PATTERN } from '#credential'
import type { Crypto, SigningKey } from '#crypto'
import { utf8 } from '#bytes'
import { enrolmentError } from './errors.ts'
import { LARGEST_REQUEST } from './limits.ts'

const ASKED = utf8('fogmeter enrolment 1')
const PROOF = utf8('fogmeter enrolment token 1')

/** A request whose signatures are right; who approves it is another question. */
export interface EnrolmentRequest {
  /** null: whoever approves it gives it one. */
  name: string | null
  /** Ed25519, 32 bytes; the sender has its other half. */
  publicKey: Uint8Array
  /** Public half of the token's key, which the sender has too; null without a token. */
  tokenKey: Uint8Array | null
}

export function encodeRequest(input: {
  name: string | null
  key: SigningKey
  token: SigningKey | null
}): Uint8Array {
  const { name, key, token } = input
  const payload = encode([name, key.publicKey])
  const asked = signSign1({ payload, key, externalAad: ASKED })
  return encode([asked, token === null ? null : proofOf(token, payload)])
}

function proofOf(token: SigningKey, payload: Uint8Array): CborValue {
  const signed = signSign1({ payload, key: token, externalAad: PROOF, detached: true })
  return [token.publicKey, signed]
}

/** The mirror of `encodeRequest`. @throws enrolment/malformed, enrolment/bad-proof */
export function decodeRequest(crypto: Crypto, bytes: Uint8Array): EnrolmentRequest {
  const [asked, proof] = partsOf(bytes)
  const payload = payloadOf(asked)
  const [name, publicKey] = fieldsOf(payload)
  verify(crypto, publicKey, asked, { externalAad: ASKED })
  if (proof === null) return { name, publicKey, tokenKey: null }
  const [key, signed] = proof
  verify(crypto, key, signed, { externalAad: PROOF, payload })
  return { name, publicKey, tokenKey: key }
}

function partsOf(bytes: Uint8Array): [Uint8Array, [Uint8Array, Uint8Array] | null] {
  const value = parse(bytes)
  if (!Array.isArray(value) || value.length !== 2) throw malformed('not a pair')
  const [asked, proof] = value
  if (!(asked instanceof Uint8Array)) throw malformed('no signed part')
  if (proof === null) return [asked, null]
  if (!Array.isArray(proof) || proof.length !== 2) throw malformed('proof: not a pair')
  const [key, signed] = proof
  if (!isKey(key) || !(signed instanceof Uint8Array)) throw malformed('proof: not a key, signed')
  return [asked, [key, signed]]
}

/** Read before it is verified: the key to verify with is inside. */
function payloadOf(asked: Uint8Array): Uint8Array {
  const value = parse(asked)
  const payload = Array.isArray(value) ? value[2] : null
  if (payload instanceof Uint8Array) return payload
  throw malformed('the signed part has no payload')
}

function fieldsOf(payload: Uint8Array): [string | null, Uint8Array] {
  const value = parse(payload)
  if (!Array.isArray(value) || value.length !== 2) throw malformed('not name and key')
  const [name, publicKey] = value
  const named = name === null || (typeof name === 'string' && NAME_PATTERN.test(name))
  if (!named || !isKey(publicKey)) throw malformed('not name and key')
  return [name, publicKey]
}

function verify(
  crypto: Crypto,
  publicKey: Uint8Array,
  signed: Uint8Array,
  options: { externalAad: Uint8Array; payload?: Uint8Array },
): void {
  try {
    verifySign1(signed, crypto.verifyKey(publicKey), options)
  } catch (error) {
    throw enrolmentError('bad-proof', 'a signature in the request does not fit', error)
  }
}

function parse(bytes: Uint8Array): CborValue {
  try {
    return decode(bytes, { size: LARGEST_REQUEST })
  } catch (error) {
    throw enrolmentError('malformed', 'enrolment request: not in its one form', error)
  }
}

function isKey(value: CborValue | undefined): value is Uint8Array {
  return value instanceof Uint8Array && value.length === 32
}

function malformed(why: string): Error {
  return enrolmentError('malformed', `enrolment request: ${why}`)
}
