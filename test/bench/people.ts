/** An enrolment authority in memory, and everybody a measurement needs. */
import { createHash } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Identity } from '#channel'
import { createTrust, decodeCredential, issueCredential, type Role, type Trust } from '#credential'
import { nativeCrypto } from '#crypto-native'
import { privateKeyObject, publicKeyObject } from '#crypto-node'

/** The fog node of every measurement. */
export const node = 'FN-01'

/** The same keys in every process of a run: made for measuring, worth nothing. */
const secretOf = (name: string) => createHash('sha256').update(`fogmeter bench ${name}`).digest()
const authority = nativeCrypto.signingKey(secretOf('authority'))
const nowS = Math.floor(Date.now() / 1000)

export const meterName = (index: number): string => `meter-${String(index + 1).padStart(4, '0')}`

export function personOf(deviceId: string, role: Role): Identity {
  const key = nativeCrypto.signingKey(secretOf(deviceId))
  const encoded = issueCredential({
    authority,
    issuer: 'fogmeter',
    deviceId,
    role,
    group: 'default',
    publicKey: key.publicKey,
    notBeforeS: nowS - 3_600,
    notAfterS: nowS + 365 * 86_400,
    id: secretOf(`${deviceId} id`).subarray(0, 8),
  })
  return { credential: decodeCredential(encoded), key }
}

/** Trust in the authority, with nothing verified before. */
export const newTrust = (): Trust => createTrust(trusting)

/** To whom every credential is new every time. */
export const forgetfulTrust = (): Trust => createTrust({ ...trusting, cacheSize: 0 })

const trusting = {
  crypto: nativeCrypto,
  authorityKey: authority.publicKey,
  now: () => Math.floor(Date.now() / 1000),
}

/** The fog node's identity as files; returns what the agent's configuration says about them. */
export function writeFogIdentity(dir: string): string[] {
  const paths = { key: 'fog.key', credential: 'fog.cwt', authority: 'authority.pub' }
  const secret = privateKeyObject('ed25519', secretOf(node))
  const root = publicKeyObject('ed25519', authority.publicKey)
  const contents = {
    key: secret.export({ type: 'pkcs8', format: 'pem' }),
    credential: personOf(node, 'fog').credential.encoded,
    authority: root.export({ type: 'spki', format: 'pem' }),
  }
  const lines = ['[identity]']
  for (const name of ['key', 'credential', 'authority'] as const) {
    const path = join(dir, paths[name])
    writeFileSync(path, contents[name], { mode: 0o600 })
    lines.push(`${name} = "${path}"`)
  }
  return lines
}
