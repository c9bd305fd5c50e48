import type { Identity } from '#channel'
import { issueCredential, issueRevocations, type Credential, type Role } from '#credential'
import type { SigningKey } from '#crypto'
import { nativeCrypto } from '#crypto-native'
import { kcwt, type OwnCredential } from '#edhoc'
import { authorityPaths, loadAuthorityKey, loadRevocations } from '#identity'
import type { Clock, Random } from '#ports'
import type { Impostors } from './stage.ts'

const DAY_S = 86_400
const YEAR_S = 365 * DAY_S
const OTHER_NODE = 'conformance-other'

/** The authority as far as these runs need it: to sign what an honest one never would. */
export interface Signer {
  readonly key: SigningKey
  /** Number of its newest revocation list, and who is on it. */
  readonly listNumber: number
  readonly revoked: readonly Uint8Array[]
}

/** Reads an authority's folder. @throws identity/… */
export function loadSigner(folder: string): Signer {
  const paths = authorityPaths(folder)
  const { number, ids } = loadRevocations(paths)
  return { key: loadAuthorityKey(paths), listNumber: number, revoked: ids }
}

/**
 * Everybody who answers in the node's place. They exist in memory only; without the authority's key
 * those that it would have to sign are null.
 */
export function makeImpostors(
  own: Identity,
  signer: Signer | null,
  { clock, random }: { clock: Clock; random: Random },
): Impostors {
  const nowS = Math.floor(clock.now() / 1000)
  const make = (authority: SigningKey, changes: Changes): OwnCredential =>
    issue(own.credential, authority, { nowS, random, ...changes })
  const stranger = nativeCrypto.signingKey(random(32))
  const wrongKey = {
    idCred: kcwt(own.credential.encoded),
    cred: own.credential.encoded,
    key: nativeCrypto.signingKey(random(32)),
  }
  const base = { wrongKey, untrusted: make(stranger, {}) }
  if (signer === null)
    return { ...base, wrongRole: null, wrongName: null, expired: null, revoked: null }
  const { key, listNumber, revoked } = signer
  const id = random(8)
  const list = issueRevocations({
    authority: key,
    number: listNumber + 1,
    issuedS: nowS,
    ids: [...revoked, id],
  })
  return {
    ...base,
    wrongRole: make(key, { role: 'meter' }),
    wrongName: make(key, { deviceId: OTHER_NODE }),
    expired: make(key, { notBeforeS: nowS - 2 * YEAR_S, notAfterS: nowS - YEAR_S }),
    revoked: { own: make(key, { id }), list },
  }
}

interface Changes {
  readonly deviceId?: string
  readonly role?: Role
  readonly id?: Uint8Array
  readonly notBeforeS?: number
  readonly notAfterS?: number
}

function issue(
  like: Credential,
  authority: SigningKey,
  { nowS, random, ...changes }: Changes & { nowS: number; random: Random },
): OwnCredential {
  const key = nativeCrypto.signingKey(random(32))
  const { deviceId, role, group, issuer } = like
  const cred = issueCredential({
    authority,
    deviceId,
    role,
    group,
    issuer,
    publicKey: key.publicKey,
    id: random(8),
    notBeforeS: nowS - DAY_S,
    notAfterS: nowS + YEAR_S,
    ...changes,
  })
  return { idCred: kcwt(cred), cred, key }
}
