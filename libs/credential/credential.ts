/**
 * A credential is a CWT (RFC 8392) in a COSE_Sign1 by the enrolment authority. It names a device,
 * its role and its group, and binds them to a public key by a `cnf` claim (RFC 8747).
 */
import { decode, encode, type CborValue } from '#cbor'
import { decodeSign1, signSign1, type Sign1 } from '#cose'
import { checkPublicKey, type SigningKey } from '#crypto'
import { CodedError } from '#errors'

export type Role = 'meter' | 'fog' | 'cloud'

export interface Credential {
  /** `cti`: 8 random bytes; what a revocation list names. */
  id: Uint8Array
  deviceId: string
  role: Role
  group: string
  /** Ed25519, 32 bytes. */
  publicKey: Uint8Array
  /** Seconds since 1970. Valid from notBeforeS on and until just before notAfterS. */
  notBeforeS: number
  notAfterS: number
  issuer: string
  /** The bytes this was decoded from: what travels, and what peers compare. */
  encoded: Uint8Array
}

/** Device, group and issuer names: 1 to 32 characters that are safe in file names and topics. */
export const NAME_PATTERN = /^[A-Za-z0-9][A-Za-z0-9._-]{0,31}$/
export const DEFAULT_GROUP = 'default'

const ID_LENGTH = 8
const ROLES: readonly Role[] = ['meter', 'fog', 'cloud']

/** RFC 8392 §3.1; `cnf` from RFC 8747 §3.1. The group is the audience that may rely on the CWT. */
const CLAIM = { iss: 1, sub: 2, aud: 3, exp: 4, nbf: 5, cti: 7, cnf: 8 } as const
/** Ours, from the private-use range below −65536 (RFC 8392 §9.1): index into ROLES. */
const CLAIM_ROLE = -65_537

/** RFC 8747 §3.2, and COSE_Key parameters of RFC 9053 §7.2: kty OKP, crv Ed25519, x. */
const CNF_COSE_KEY = 1
const KEY = { kty: 1, crv: -1, x: -2 } as const
const KTY_OKP = 1
const CRV_ED25519 = 6

export function malformed(why: string, cause?: unknown): CodedError {
  return new CodedError('credential/malformed', why, cause === undefined ? undefined : { cause })
}

/**
 * Signs a credential; 150 to 251 bytes, below 190 with names of ordinary length. The public key
 * gets its full check here, once, so that nobody has to repeat it later.
 * @throws credential/malformed for a bad name, id or validity, crypto/bad-public-key
 */
export function issueCredential(
  input: Omit<Credential, 'encoded'> & { authority: SigningKey },
): Uint8Array {
  checkFields(input)
  checkPublicKey(input.publicKey)
  const coseKey = new Map<number, CborValue>([
    [KEY.kty, KTY_OKP],
    [KEY.crv, CRV_ED25519],
    [KEY.x, input.publicKey],
  ])
  const claims = new Map<number, CborValue>([
    [CLAIM.iss, input.issuer],
    [CLAIM.sub, input.deviceId],
    [CLAIM.aud, input.group],
    [CLAIM.exp, input.notAfterS],
    [CLAIM.nbf, input.notBeforeS],
    [CLAIM.cti, input.id],
    [CLAIM.cnf, new Map([[CNF_COSE_KEY, coseKey]])],
    [CLAIM_ROLE, ROLES.indexOf(input.role)],
  ])
  return signSign1({ payload: encode(claims), key: input.authority })
}

/**
 * Reads a credential without believing it: use `Trust.check` for that. The form is closed, with
 * exactly our claims and nothing in the unsigned header, so one credential has one encoding.
 * @throws credential/malformed
 */
export function decodeCredential(bytes: Uint8Array): Credential {
  return readCredential(bytes).credential
}

/** The same, with the signed message it was read from, whose signature is still to be verified. */
export function readCredential(bytes: Uint8Array): { credential: Credential; sign1: Sign1 } {
  const { sign1, payload } = readPayload(bytes)
  return { credential: readClaims(payload, bytes), sign1 }
}

function readClaims(payload: CborValue, bytes: Uint8Array): Credential {
  const claims = readMap(payload, 'claims', 8)
  const cnf = readMap(claims.get(CLAIM.cnf), 'cnf', 1)
  const coseKey = readMap(cnf.get(CNF_COSE_KEY), 'COSE_Key', 3)
  if (coseKey.get(KEY.kty) !== KTY_OKP || coseKey.get(KEY.crv) !== CRV_ED25519)
    throw malformed('the key is not an Ed25519 key')
  const role = claims.get(CLAIM_ROLE)
  const fields = {
    id: claims.get(CLAIM.cti),
    deviceId: claims.get(CLAIM.sub),
    role: typeof role === 'number' ? ROLES[role] : undefined,
    group: claims.get(CLAIM.aud),
    publicKey: coseKey.get(KEY.x),
    notBeforeS: claims.get(CLAIM.nbf),
    notAfterS: claims.get(CLAIM.exp),
    issuer: claims.get(CLAIM.iss),
  }
  checkFields(fields)
  return { ...fields, encoded: Uint8Array.from(bytes) }
}

function readPayload(bytes: Uint8Array): { sign1: Sign1; payload: CborValue } {
  try {
    const sign1 = decodeSign1(bytes)
    const { payload, protectedHeaders, unprotected } = sign1
    if (payload !== null && protectedHeaders.size === 1 && unprotected.size === 0)
      return { sign1, payload: decode(payload) }
  } catch (error) {
    throw malformed('not a signed CWT', error)
  }
  throw malformed('not the one form of a credential: own payload, algorithm as the only header')
}

function readMap(
  value: CborValue | undefined,
  what: string,
  size: number,
): Map<number | string, CborValue> {
  if (!(value instanceof Map) || value.size !== size)
    throw malformed(`${what}: not a map of ${size} entries`)
  return value
}

/** The rules of every field, for issuing and decoding alike. */
function checkFields(
  fields: Record<Exclude<keyof Credential, 'encoded'>, unknown>,
): asserts fields is Omit<Credential, 'encoded'> {
  for (const name of ['deviceId', 'group', 'issuer'] as const) {
    const value = fields[name]
    if (typeof value !== 'string' || !NAME_PATTERN.test(value))
      throw malformed(`${name}: use 1 to 32 letters, digits, ".", "_" or "-", no mark in front`)
  }
  if (!ROLES.some((role) => role === fields.role)) throw malformed('role: meter, fog or cloud')
  if (!isBytes(fields.id, ID_LENGTH)) throw malformed(`id: ${ID_LENGTH} bytes`)
  if (!isBytes(fields.publicKey, 32)) throw malformed('public key: 32 bytes')
  const { notBeforeS, notAfterS } = fields
  if (!isTime(notBeforeS) || !isTime(notAfterS) || notAfterS <= notBeforeS)
    throw malformed('validity: whole seconds since 1970, the end after the start')
}

function isBytes(value: unknown, length: number): value is Uint8Array {
  return value instanceof Uint8Array && value.length === length
}

function isTime(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0
}
