/**
 * COSE_Sign1, RFC 9052 §4.2, with EdDSA over Ed25519.
 *
 *   COSE_Sign1 = [protected: bstr, unprotected: map, payload: bstr / nil, signature: bstr]
 *   Sig_structure = ["Signature1", protected, external_aad, payload]
 */
import { encode, type CborLimits, type CborValue } from '#cbor'
import type { SigningKey, VerifyKey } from '#crypto'
import { CodedError } from '#errors'
import {
  ALG,
  decodeMessage,
  EMPTY,
  malformed,
  protectedHeader,
  readHeaders,
  requireAlgorithm,
  type Headers,
} from './headers.ts'

const PROTECTED_EDDSA = protectedHeader(ALG.edDsa)

export interface Sign1 {
  /** As transported; this is what the signature covers. */
  protectedBytes: Uint8Array
  protectedHeaders: Headers
  /** Not covered by the signature: anyone on the way may have written it. */
  unprotected: Headers
  /** null when the payload is detached and travels by another road. */
  payload: Uint8Array | null
  signature: Uint8Array
}

/** What is signed, RFC 9052 §4.4. */
export function sigStructure(
  protectedBytes: Uint8Array,
  externalAad: Uint8Array,
  payload: Uint8Array,
): Uint8Array {
  return encode(['Signature1', protectedBytes, externalAad, payload])
}

/**
 * Signs `payload` and returns the untagged message. `externalAad` should name the purpose, so that
 * a signature made for one can never be shown as another. `detached` leaves the payload out.
 */
export function signSign1(input: {
  payload: Uint8Array
  key: SigningKey
  externalAad?: Uint8Array
  unprotected?: Headers
  detached?: boolean
}): Uint8Array {
  const { payload, key, externalAad = EMPTY, unprotected = new Map(), detached = false } = input
  const signature = key.sign(sigStructure(PROTECTED_EDDSA, externalAad, payload))
  const body: CborValue[] = [PROTECTED_EDDSA, unprotected, detached ? null : payload, signature]
  return encode(body)
}

/** The parts of a message, nothing of it verified. @throws cose/malformed, cose/unsupported */
export function decodeSign1(bytes: Uint8Array, limits?: CborLimits): Sign1 {
  const [protectedField, unprotectedField, payload, signature] = decodeMessage(bytes, 4, limits)
  const headers = readHeaders(protectedField, unprotectedField)
  if (payload !== null && !(payload instanceof Uint8Array)) throw malformed('payload is not bytes')
  if (!(signature instanceof Uint8Array)) throw malformed('signature is not bytes')
  return { ...headers, payload, signature }
}

/** What was not in the message itself. */
export interface Sign1Context {
  externalAad?: Uint8Array
  /** Exactly when it is detached. */
  payload?: Uint8Array
}

/**
 * Verifies a message and returns what it says. Give `payload` exactly when it is detached: a
 * message that brings its own is then refused, so there is never a doubt which one was signed.
 * @throws cose/malformed, cose/unsupported, cose/bad-signature
 */
export function verifySign1(
  bytes: Uint8Array,
  key: VerifyKey,
  options: Sign1Context & { limits?: CborLimits } = {},
): { payload: Uint8Array; unprotected: Headers } {
  return verifyDecoded(decodeSign1(bytes, options.limits), key, options)
}

/** The same for a message that was taken apart already. @throws cose/… as `verifySign1` */
export function verifyDecoded(
  message: Sign1,
  key: VerifyKey,
  options: Sign1Context = {},
): { payload: Uint8Array; unprotected: Headers } {
  requireAlgorithm(message.protectedHeaders, ALG.edDsa)
  const payload = message.payload ?? options.payload
  if (payload === undefined) throw malformed('the payload is detached and was not given')
  if (message.payload !== null && options.payload !== undefined)
    throw malformed('the message carries a payload where a detached one is expected')
  const signed = sigStructure(message.protectedBytes, options.externalAad ?? EMPTY, payload)
  if (!key.verify(signed, message.signature))
    throw new CodedError('cose/bad-signature', 'the signature does not fit key and content')
  return { payload, unprotected: message.unprotected }
}
