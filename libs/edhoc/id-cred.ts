/** ID_CRED_x in PLAINTEXT_2 and PLAINTEXT_3, RFC 9528 §3.5.3. */
import type { CborValue } from '#cbor'
import { edhocError } from './errors.ts'
import { encodeIdentifier, identifierFrom } from './identifier.ts'

/** COSE header parameter 'kid', RFC 9052 §3.1. */
const KID = 4

export type IdCred = Map<number | string, CborValue>

/** The kid when the map is exactly { 4 : bstr }, else null. */
function onlyKid(map: IdCred): Uint8Array | null {
  const kid = map.size === 1 ? map.get(KID) : null
  return kid instanceof Uint8Array ? kid : null
}

/** @throws edhoc/bad-argument when our own ID_CRED is not a header map */
export function assertIdCred(value: CborValue): IdCred {
  if (value instanceof Map && value.size > 0) return value
  throw edhocError('edhoc/bad-argument', 'ID_CRED must be a non-empty COSE header map')
}

/** §3.5.3.2: { 4 : kid } travels as the bare identifier, every other map as it is. */
export function compactIdCred(map: IdCred): CborValue {
  const kid = onlyKid(map)
  return kid === null ? map : encodeIdentifier(kid)
}

/** Mirrors `compactIdCred`. @throws edhoc/malformed, also for an uncompacted { 4 : kid } */
export function expandIdCred(name: string, value: CborValue | undefined): IdCred {
  if (value instanceof Map && value.size > 0 && onlyKid(value) === null) {
    // 'kid' is a byte string (RFC 9052 §3.1); an integer form exists only in the compact encoding.
    if (!value.has(KID) || value.get(KID) instanceof Uint8Array) return value
  }
  const kid = identifierFrom(value)
  if (kid === null) throw edhocError('edhoc/malformed', `${name} identifies no credential`)
  return new Map([[KID, kid]])
}
