/** The one kind of ID_CRED our profile uses: a CWT by value, RFC 9528 §3.5.3.1. */
import { decode, encode, type CborValue } from '#cbor'
import { edhocError } from './errors.ts'

/** COSE header parameter 'kcwt', RFC 9528 §10.6. */
const KCWT = 13

/** ID_CRED_x for an encoded CWT, which is CRED_x as well. @throws edhoc/bad-argument */
export function kcwt(cwt: Uint8Array): CborValue {
  try {
    return new Map([[KCWT, decode(cwt)]])
  } catch (error) {
    throw edhocError('edhoc/bad-argument', 'the credential is not deterministic CBOR', error)
  }
}

/**
 * Mirrors `kcwt`: the CWT a peer sent, for `ResolvePeer`. Deterministic encoding makes it the bytes
 * the authority signed. @throws edhoc/malformed for any other kind of ID_CRED; ERR_CODE 3 is not
 * for those (§6.4)
 */
export function kcwtFrom(idCred: CborValue): Uint8Array {
  const cwt = idCred instanceof Map && idCred.size === 1 ? idCred.get(KCWT) : undefined
  if (!Array.isArray(cwt)) throw edhocError('edhoc/malformed', 'ID_CRED is not one CWT by value')
  return encode(cwt)
}
