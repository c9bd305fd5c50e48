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

/**
 * What both ends know without being told, so that a message need not carry it: the algorithm, and
 * the IV that a Partial IV is combined with (RFC 9052 §3.1, "Context IV").
 */
export interface EncryptionContext {
  /** 12 bytes, fixed for a key; with it messages carry a Partial IV in place of the whole nonce. */
  iv: Uint8Array
}

/**
 * Encrypts `payload`. Without a context the algorithm is protected and `nonce`, which must never
 * repeat, travels in the unprotected header. With one, nothing is protected and `partialIv` travels:
 * at most 12 bytes, its shortest form, and never twice under one key.
 */
export function encryptEncrypt0(
  input: {
    key: AeadKey
    payload: Uint8Array
    externalAad?: Uint8Array
    unprotected?: Headers
  } & ({ nonce: Uint8Array } | { partialIv: Uint8Array; context: EncryptionContext }),
): Uint8Array {
  const { key, payload, externalAad = EMPTY } = input
  const implied = 'context' in input
  const protectedBytes = implied ? EMPTY : PROTECTED_CHACHA
  const nonce = implied ? nonceFrom(input.context, input.partialIv) : input.nonce
  const carried: [number, Uint8Array] = implied
    ? [HEADER.partialIv, input.partialIv]
    : [HEADER.iv, nonce]
  const unprotected: Headers = new Map([...(input.unprotected ?? []), carried])
  const ciphertext = key.seal(nonce, encStructure(protectedBytes, externalAad), payload)
  return encode([protectedBytes, unprotected, ciphertext])
}

/**
 * The mirror of `encryptEncrypt0`. Each form is refused where the other is expected: a message
 * cannot choose by itself what is implied.
 * @throws cose/malformed, cose/unsupported, cose/not-authentic
 */
export function decryptEncrypt0(
  bytes: Uint8Array,
  key: AeadKey,
  options: { externalAad?: Uint8Array; context?: EncryptionContext } = {},
): { payload: Uint8Array; unprotected: Headers } {
  const { externalAad = EMPTY, context } = options
  const [protectedField, unprotectedField, ciphertext] = decodeMessage(bytes, 3)
  const headers = readHeaders(protectedField, unprotectedField)
  if (context === undefined) requireAlgorithm(headers.protectedHeaders, ALG.chaCha20Poly1305)
  else requireImplied(headers)
  if (!(ciphertext instanceof Uint8Array)) throw malformed('ciphertext is not bytes')
  const nonce = nonceOf(headers.unprotected, context)
  const aad = encStructure(headers.protectedBytes, externalAad)
  const payload = key.open(nonce, aad, ciphertext)
  if (payload === null)
    throw new CodedError('cose/not-authentic', 'the ciphertext does not fit key and content')
  return { payload, unprotected: headers.unprotected }
}

/** RFC 9052 §3: whoever knows the algorithm by other means may send none, anywhere. */
function requireImplied({ protectedHeaders, unprotected }: ReturnType<typeof readHeaders>): void {
  if (protectedHeaders.size > 0 || unprotected.has(HEADER.alg) || unprotected.has(HEADER.iv))
    throw new CodedError('cose/unsupported', 'a header where algorithm and IV are implied')
}

function nonceOf(unprotected: Headers, context: EncryptionContext | undefined): Uint8Array {
  const found = unprotected.get(context === undefined ? HEADER.iv : HEADER.partialIv)
  if (context !== undefined && found instanceof Uint8Array) return nonceFrom(context, found)
  if (found instanceof Uint8Array && found.length === NONCE_LENGTH) return found
  const what = context === undefined ? `nonce of ${NONCE_LENGTH} bytes` : 'Partial IV'
  throw malformed(`no ${what} in the unprotected header`)
}

/** RFC 9052 §3.1: the Partial IV, padded with zeros on the left, xor the context IV. */
function nonceFrom({ iv }: EncryptionContext, partialIv: Uint8Array): Uint8Array {
  if (iv.length !== NONCE_LENGTH) throw malformed(`a context IV has ${NONCE_LENGTH} bytes`)
  const { length } = partialIv
  if (length === 0 || length > NONCE_LENGTH || (length > 1 && partialIv[0] === 0))
    throw malformed('a Partial IV is the shortest form of a number of up to 12 bytes')
  const nonce = Uint8Array.from(iv)
  partialIv.forEach((byte, i) => {
    const at = NONCE_LENGTH - length + i
    nonce[at] = (nonce[at] as number) ^ byte
  })
  return nonce
}
