import { decode, encode, type CborLimits, type CborValue } from '#cbor'
import { CodedError } from '#errors'

/** Header map, RFC 9052 §3. */
export type Headers = Map<number | string, CborValue>

/** RFC 9052 §3.1, common header parameters. */
export const HEADER = { alg: 1, crit: 2, iv: 5, partialIv: 6 } as const

/** RFC 9053 §2.2 and §4.3. */
export const ALG = { edDsa: -8, chaCha20Poly1305: 24 } as const

export const EMPTY = new Uint8Array(0)

export function malformed(why: string, cause?: unknown): CodedError {
  return new CodedError('cose/malformed', why, cause === undefined ? undefined : { cause })
}

/** The protected header of messages we make: nothing but the algorithm. */
export function protectedHeader(alg: number): Uint8Array {
  return encode(new Map([[HEADER.alg, alg]]))
}

/** Decodes one message: an untagged CBOR array of `length` entries. */
export function decodeMessage(bytes: Uint8Array, length: number, limits?: CborLimits): CborValue[] {
  let value: CborValue
  try {
    value = decode(bytes, limits)
  } catch (error) {
    throw malformed('not a COSE message in deterministic CBOR', error)
  }
  if (!Array.isArray(value) || value.length !== length)
    throw malformed(`not an array of ${length} entries`)
  return value
}

/**
 * Both header maps of a message. A parameter may stand in one of them only (RFC 9052 §3), and
 * since no parameter is critical to us, a `crit` list always names one we do not know.
 */
export function readHeaders(
  protectedBytes: CborValue | undefined,
  unprotected: CborValue | undefined,
): { protectedBytes: Uint8Array; protectedHeaders: Headers; unprotected: Headers } {
  if (!(protectedBytes instanceof Uint8Array)) throw malformed('protected header is not bytes')
  if (!(unprotected instanceof Map)) throw malformed('unprotected header is not a map')
  const protectedHeaders = readProtected(protectedBytes)
  for (const key of unprotected.keys())
    if (protectedHeaders.has(key)) throw malformed(`header parameter ${key} stands twice`)
  if (protectedHeaders.has(HEADER.crit) || unprotected.has(HEADER.crit))
    throw new CodedError('cose/unsupported', 'critical header parameters are not supported')
  return { protectedBytes, protectedHeaders, unprotected }
}

function readProtected(bytes: Uint8Array): Headers {
  if (bytes.length === 0) return new Map()
  let headers: CborValue
  try {
    headers = decode(bytes)
  } catch (error) {
    throw malformed('protected header is not deterministic CBOR', error)
  }
  // RFC 9052 §3: an empty protected map is the empty byte string, never an encoded empty map
  if (!(headers instanceof Map) || headers.size === 0) throw malformed('protected header is no map')
  return headers
}

/** The algorithm must be protected and must be the one expected. @throws cose/unsupported */
export function requireAlgorithm(headers: Headers, alg: number): void {
  const found = headers.get(HEADER.alg)
  if (found === alg) return
  const named = typeof found === 'number' || typeof found === 'string' ? String(found) : 'none'
  throw new CodedError('cose/unsupported', `algorithm ${named} where ${alg} is expected`)
}
