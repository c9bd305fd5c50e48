import { equal } from '#bytes'
import { verifyDecoded } from '#cose'
import type { Crypto, VerifyKey } from '#crypto'
import { defaults } from '#defaults'
import { CodedError } from '#errors'
import type { Clock } from '#ports'
import { readCredential, type Credential, type Role } from './credential.ts'
import { isRevoked, type RevocationList } from './revocation.ts'

export interface Trust {
  /**
   * A credential as received, believed: signed by the authority, valid now, not revoked.
   * @throws credential/malformed, untrusted, expired, not-yet-valid, revoked
   */
  check(encoded: Uint8Array): Credential
  /** As `check`, with the key the credential names, prepared once for as long as it is remembered. */
  checkPeer(encoded: Uint8Array): { credential: Credential; key: VerifyKey }
}

/** A credential whose signature verified. The key is prepared when somebody first asks for it. */
interface Known {
  readonly credential: Credential
  key: VerifyKey | null
}

/** By how much the clock of a machine that judges validity may be wrong: somebody set it by hand. */
export const CLOCK_SLACK_S = 86_400

/**
 * `now` for `createTrust` on a machine whose clock may be wrong: null, so that no dates are judged,
 * before 2025 and whenever the machine's own credential would not be valid. A clock that says so is
 * no witness against others, and a machine whose credential really ran out is refused by its peers.
 */
export function judgingTime(
  clock: Pick<Clock, 'now'>,
  own: Pick<Credential, 'notBeforeS' | 'notAfterS'>,
): () => number | null {
  return () => {
    const nowS = Math.floor(clock.now() / 1000)
    if (nowS < defaults.neverSetS || nowS < own.notBeforeS - CLOCK_SLACK_S) return null
    return nowS < own.notAfterS + CLOCK_SLACK_S ? nowS : null
  }
}

/** About a kilobyte each. */
const DEFAULT_CACHE_SIZE = 4_096

/**
 * `now` gives seconds since 1970, or null while the clock is not to be trusted (a Pi boots in
 * 1970): validity is then not judged, because time is data here and never the only barrier;
 * signature and revocation always count. Only signatures that verified are remembered, so that
 * forgeries cannot push good credentials out of the cache. `slackS` is how far outside its validity
 * a credential is still taken, for clocks that are a little wrong.
 */
export function createTrust(options: {
  crypto: Crypto
  authorityKey: Uint8Array
  now: () => number | null
  revocations?: () => RevocationList | null
  slackS?: number
  cacheSize?: number
}): Trust {
  const slackS = options.slackS ?? 0
  const authority = options.crypto.verifyKey(options.authorityKey)
  const cacheSize = options.cacheSize ?? DEFAULT_CACHE_SIZE
  /** By fingerprint, least recently used first; only equal bytes are the same credential. */
  const verified = new Map<number, Known>()

  function verify(encoded: Uint8Array): Known {
    const { credential, sign1 } = readCredential(encoded)
    try {
      verifyDecoded(sign1, authority)
    } catch (error) {
      const message = `credential of "${credential.deviceId}" is not signed by our authority`
      throw new CodedError('credential/untrusted', message, { cause: error })
    }
    return { credential, key: null }
  }

  function verifyOnce(encoded: Uint8Array): Known {
    const fingerprint = fingerprintOf(encoded)
    const found = verified.get(fingerprint)
    const known = found && equal(found.credential.encoded, encoded) ? found : verify(encoded)
    verified.delete(fingerprint)
    verified.set(fingerprint, known)
    if (verified.size > cacheSize) verified.delete(verified.keys().next().value as number)
    return known
  }

  function judge(encoded: Uint8Array): Known {
    const known = verifyOnce(encoded)
    const { credential } = known
    const nowS = options.now()
    if (nowS !== null) requireValidAt(credential, nowS, slackS)
    const list = options.revocations?.() ?? null
    if (list !== null && isRevoked(list, credential))
      throw new CodedError(
        'credential/revoked',
        `credential of "${credential.deviceId}" is revoked`,
      )
    return known
  }

  return {
    check: (encoded) => judge(encoded).credential,
    checkPeer(encoded) {
      const known = judge(encoded)
      known.key ??= options.crypto.verifyKey(known.credential.publicKey)
      return { credential: known.credential, key: known.key }
    },
  }
}

/** FNV-1a: only to find where to look, so it need not resist anybody. */
function fingerprintOf(bytes: Uint8Array): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < bytes.length; i++) hash = Math.imul(hash ^ (bytes[i] as number), 0x01000193)
  return hash
}

/** RFC 8392 §3.1.4 and §3.1.5: from `nbf` on, and before `exp`. */
function requireValidAt(
  { deviceId, notBeforeS, notAfterS }: Credential,
  nowS: number,
  slackS: number,
): void {
  if (nowS < notBeforeS - slackS)
    throw new CodedError(
      'credential/not-yet-valid',
      `credential of "${deviceId}" starts at ${dateOf(notBeforeS)}; check this machine's clock`,
    )
  if (nowS >= notAfterS + slackS)
    throw new CodedError(
      'credential/expired',
      `credential of "${deviceId}" ended at ${dateOf(notAfterS)}; enrol the device again`,
    )
}

function dateOf(timeS: number): string {
  const date = new Date(timeS * 1000)
  return Number.isNaN(date.getTime()) ? `second ${timeS}` : date.toISOString()
}

/** @throws credential/wrong-role, credential/wrong-group */
export function requireRole(
  credential: Pick<Credential, 'deviceId' | 'role' | 'group'>,
  role: Role,
  group: string,
): void {
  const { deviceId } = credential
  if (credential.role !== role)
    throw new CodedError(
      'credential/wrong-role',
      `"${deviceId}" is enrolled as ${credential.role}, not as ${role}`,
    )
  if (credential.group !== group)
    throw new CodedError(
      'credential/wrong-group',
      `"${deviceId}" belongs to group "${credential.group}", not to "${group}"`,
    )
}
