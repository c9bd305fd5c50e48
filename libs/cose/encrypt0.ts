/**
 * COSE_Encrypt0, RFC 9052 §5.2, with ChaCha20/Poly1305.
 *
 *   COSE_Encrypt0 = [protected: bstr, unprotected: map, ciphertext: bstr]
 *   Enc_structure = ["Encrypt0", protected, external_aad]
 */
import { encode } from '#cbor'
import type { AeadKey } from '#crypto'
import { CodedError } from '#errors'
import {
  ALG,
  decodeMessage,
  EMPTY,
  HEADER,
  malformed,
  protectedHeader,
  readHeaders,
  requireAlgorithm,
  type Headers,
} from './headers.ts'

const PROTECTED_CHACHA = protectedHeader(ALG.chaCha20Poly1305)
const NONCE_LENGTH = 12

/** The additional data of the cipher, RFC 9052 §5.3. */
export function encStructure(protectedBytes: Uint8Array, externalAad: Uint8Array): Uint8Array {
  return encode(['Encrypt0', protectedBytes, externalAad])
}

/** Encrypts `payload`; the nonce travels in the unprotected header and must never repeat. */
export function encryptEncrypt0(input: {
  key: AeadKey
  nonce: Uint8Array
  payload: Uint8Array
  externalAad?: Uint8Array
  unprotected?: Headers
}): Uint8Array {
  const { key, nonce, payload, externalAad = EMPTY } = input
  const unprotected: Headers = new Map([...(input.unprotected ?? []), [HEADER.iv, nonce]])
  const aad = encStructure(PROTECTED_CHACHA, externalAad)
  return encode([PROTECTED_CHACHA, unprotected, key.seal(nonce, aad, payload)])
}

/** @throws cose/malformed, cose/unsupported, cose/not-authentic */
export function decryptEncrypt0(
  bytes: Uint8Array,
  key: AeadKey,
  options: { externalAad?: Uint8Array } = {},
): { payload: Uint8Array; unprotected: Headers } {
  const [protectedField, unprotectedField, ciphertext] = decodeMessage(bytes, 3)
  const headers = readHeaders(protectedField, unprotectedField)
  requireAlgorithm(headers.protectedHeaders, ALG.chaCha20Poly1305)
  if (!(ciphertext instanceof Uint8Array)) throw malformed('ciphertext is not bytes')
  const nonce = headers.unprotected.get(HEADER.iv)
  if (!(nonce instanceof Uint8Array) || nonce.length !== NONCE_LENGTH)
    throw malformed(`no nonce of ${NONCE_LENGTH} bytes in the unprotected header`)
  const aad = encStructure(headers.protectedBytes, options.externalAad ?? EMPTY)
  const payload = key.open(nonce, aad, ciphertext)
  if (payload === null)
    throw new CodedError('cose/not-authentic', 'the ciphertext does not fit key and content')
  return { payload, unprotected: headers.unprotected }
}
