import { requireRole, type Credential, type Role, type Trust } from '#credential'
import { kcwt, kcwtFrom, type OwnCredential, type ResolvePeer } from '#edhoc'
import { CodedError } from '#errors'
import type { Identity } from './types.ts'

const ownCredentials = new WeakMap<Identity, OwnCredential>()

/** Our side of EDHOC authentication: ID_CRED = {13: CWT}, CRED = the CWT's bytes. */
export function ownCredential(own: Identity): OwnCredential {
  const known = ownCredentials.get(own)
  if (known !== undefined) return known
  const cred = own.credential.encoded
  const made = { idCred: kcwt(cred), cred, key: own.key }
  ownCredentials.set(own, made)
  return made
}

/** What a peer must be, beyond holding a credential the authority signed. */
export interface PeerRule {
  readonly role: Role
  /** null: any group. */
  readonly group: string | null
  /** null: any device of that role. */
  readonly deviceId: string | null
}

/**
 * Decides during a handshake who may be the peer. `found` receives the credential that passed;
 * it counts only once the handshake message around it has verified too.
 */
export function peerResolver(
  trust: Trust,
  rule: PeerRule,
  found: (peer: Credential) => void,
): ResolvePeer {
  return (idCred) => {
    const encoded = kcwtFrom(idCred)
    const { credential: peer, key } = trust.checkPeer(encoded)
    requireRole(peer, rule.role, rule.group ?? peer.group)
    if (rule.deviceId !== null && peer.deviceId !== rule.deviceId) {
      throw new CodedError(
        'channel/wrong-node',
        `expected to reach ${rule.deviceId} but ${peer.deviceId} answered; check the node name`,
      )
    }
    found(peer)
    return { cred: encoded, key }
  }
}

/** A broken credential is not among them: bytes get damaged, rules do not. */
const PERMANENT = new Set([
  'credential/untrusted',
  'credential/expired',
  'credential/not-yet-valid',
  'credential/revoked',
  'credential/wrong-role',
  'credential/wrong-group',
  'channel/wrong-node',
  'channel/credential-refused',
  'channel/suite-refused',
])

/** True when trying again soon cannot help: the answer depends on credentials or configuration. */
export function isPermanent(code: string): boolean {
  return PERMANENT.has(code)
}
