/** The authority's signed list of credentials that no longer count, whatever their dates say. */
import { toHex, utf8 } from '#bytes'
import { decode, encode, type CborValue } from '#cbor'
import { signSign1, verifySign1 } from '#cose'
import type { Crypto, SigningKey } from '#crypto'
import { codeOf, CodedError } from '#errors'
import { malformed, type Credential } from './credential.ts'

export interface RevocationList {
  /** Grows with every list the authority signs; a lower one is old news and is not taken. */
  number: number
  /** Seconds since 1970. */
  issuedS: number
  /** Credential ids, sorted by bytes. */
  ids: Uint8Array[]
  /** The signed bytes, for passing on. */
  encoded: Uint8Array
}

/** Keeps a list from ever being taken for a credential, which the same key signs. */
const PURPOSE = utf8('fogmeter revocations 1')
const ID_LENGTH = 8
/**
 * A list travels in one message, and a message is at most 64 KiB: at 9 bytes an entry this is 54 kB,
 * which leaves room in a broker's send buffer of the same size.
 */
const MOST_REVOCATIONS = 6_000
const LARGEST = 9 * MOST_REVOCATIONS + 64
/** More than COSE_Sign1 adds around a payload. */
const OVERHEAD = 128

const lookups = new WeakMap<RevocationList, Set<string>>()

/**
 * Signs [number, issuedS, [id, …]], ids sorted and without repetition.
 * @throws credential/list-full above `MOST_REVOCATIONS` ids, credential/malformed
 */
export function issueRevocations(input: {
  authority: SigningKey
  number: number
  issuedS: number
  ids: readonly Uint8Array[]
}): Uint8Array {
  const { authority, number, issuedS } = input
  const unique = new Map(input.ids.map((id) => [toHex(id), id]))
  const ids = [...unique].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([, id]) => id)
  if (ids.length > MOST_REVOCATIONS)
    throw new CodedError(
      'credential/list-full',
      `a revocation list holds at most ${MOST_REVOCATIONS} credentials, this one would hold ` +
        `${ids.length}: found a new authority and enrol there the devices that should go on`,
    )
  const payload = encode([number, issuedS, ids])
  readList(payload, payload) // the same rules as on arrival
  return signSign1({ payload, key: authority, externalAad: PURPOSE })
}

/**
 * A list as received, its signature verified. Whether its number is newer than the last one is
 * for the caller, who knows the last one.
 * @throws credential/malformed, credential/untrusted
 */
export function checkRevocations(
  crypto: Crypto,
  authorityKey: Uint8Array,
  bytes: Uint8Array,
): RevocationList {
  const key = crypto.verifyKey(authorityKey)
  const options = { externalAad: PURPOSE, limits: { size: LARGEST + OVERHEAD } }
  try {
    return readList(verifySign1(bytes, key, options).payload, bytes)
  } catch (error) {
    if (codeOf(error) !== 'cose/bad-signature') throw asMalformed(error)
    throw new CodedError('credential/untrusted', 'revocation list: not signed by our authority')
  }
}

function asMalformed(error: unknown): CodedError {
  const ours = codeOf(error).startsWith('credential/')
  return ours ? (error as CodedError) : malformed('not a signed revocation list', error)
}

export function isRevoked(list: RevocationList, credential: Pick<Credential, 'id'>): boolean {
  let lookup = lookups.get(list)
  if (lookup === undefined) {
    lookup = new Set(list.ids.map(toHex))
    lookups.set(list, lookup)
  }
  return lookup.has(toHex(credential.id))
}

function readList(payload: Uint8Array, encoded: Uint8Array): RevocationList {
  const value = decode(payload, { size: LARGEST })
  if (!Array.isArray(value) || value.length !== 3) throw malformed('revocation list: not a triple')
  const [number, issuedS, ids] = value
  if (!isCount(number) || !isCount(issuedS)) throw malformed('revocation list: bad number or time')
  if (!Array.isArray(ids) || ids.length > MOST_REVOCATIONS || !ids.every(isId))
    throw malformed('revocation list: bad ids')
  return { number, issuedS, ids, encoded: Uint8Array.from(encoded) }
}

function isCount(value: CborValue | undefined): value is number {
  return typeof value === 'number' && value >= 0
}

function isId(value: CborValue): value is Uint8Array {
  return value instanceof Uint8Array && value.length === ID_LENGTH
}
