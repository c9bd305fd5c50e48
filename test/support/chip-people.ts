import type { Identity } from '#channel'
import { decodeCredential, issueCredential, issueRevocations, type Role } from '#credential'
import { nodeCrypto } from '#crypto-node'
import type { Random } from '#ports'

/** A device as it is provisioned: the secret too, which a chip carries inside. */
export interface Provisioned extends Identity {
  secret: Uint8Array
}

/** An authority that enrols whoever is asked for, for the years around `startMs`. */
export function createPeople(random: Random, startMs: number) {
  const authority = nodeCrypto.signingKey(random(32))
  const startS = Math.floor(startMs / 1_000)
  return {
    authorityKey: authority.publicKey,
    /** A signed list of `count` credentials that nobody has. */
    revoke(count: number): Uint8Array {
      const ids = Array.from({ length: count }, () => random(8))
      return issueRevocations({ authority, number: 1, issuedS: startS, ids })
    },
    enrol(role: Role, deviceId: string): Provisioned {
      const secret = random(32)
      const key = nodeCrypto.signingKey(secret)
      const encoded = issueCredential({
        authority,
        issuer: 'chips',
        deviceId,
        role,
        group: 'default',
        publicKey: key.publicKey,
        notBeforeS: startS - 3_600,
        notAfterS: startS + 2 * 365 * 86_400,
        id: random(8),
      })
      return { secret, key, credential: decodeCredential(encoded) }
    },
  }
}
