import { decodeCredential, issueCredential, type Role } from '#credential'
import type { Identity } from '#channel'
import type { Crypto } from '#crypto'
import { createChance } from './chance.ts'
import { startWallMs } from './clock.ts'

/** Everybody who may take part; the same people in every run, because enrolling is slow. */
export interface People {
  authorityKey: Uint8Array
  identity(deviceId: string): Identity
}

const startS = startWallMs / 1000
const known = new Map<Crypto, People>()

export function peopleOf(crypto: Crypto): People {
  const people = known.get(crypto) ?? enrolAll(crypto)
  known.set(crypto, people)
  return people
}

function enrolAll(crypto: Crypto): People {
  const chance = createChance(2026)
  const authority = crypto.signingKey(chance.bytes(32))
  const identities = new Map<string, Identity>()
  const enrol = (role: Role, count: number) => {
    for (let index = 1; index <= count; index++) {
      const deviceId = `${role}-${index}`
      const key = crypto.signingKey(chance.bytes(32))
      const encoded = issueCredential({
        authority,
        issuer: 'sim-authority',
        deviceId,
        role,
        group: 'default',
        publicKey: key.publicKey,
        // Enrolled just now, for two years: a clock hours behind says it is not valid yet.
        notBeforeS: startS - 3_600,
        notAfterS: startS + 2 * 365 * 86_400,
        id: chance.bytes(8),
      })
      identities.set(deviceId, { credential: decodeCredential(encoded), key })
    }
  }
  enrol('meter', 12)
  enrol('fog', 2)
  enrol('cloud', 2)
  return {
    authorityKey: authority.publicKey,
    identity(deviceId) {
      const identity = identities.get(deviceId)
      if (identity === undefined) throw new Error(`nobody is called ${deviceId}`)
      return identity
    },
  }
}
