import { equal } from '#bytes'
import { createTrust, requireRole, type Credential } from '#credential'
import type { Crypto } from '#crypto'
import { CodedError } from '#errors'

/**
 * On the device: whether an answer is what was asked for. Signed by our authority, for our own key,
 * as a fog node, under our own name where we have one. The way it came proves nothing, and the clock
 * is not asked: a Pi that never saw the time has to get through here.
 * @throws credential/malformed, untrusted, wrong-role, enrolment/wrong-credential
 */
export function checkAnswer(input: {
  crypto: Crypto
  authorityKey: Uint8Array
  name: string | null
  publicKey: Uint8Array
  encoded: Uint8Array
}): Credential {
  const { crypto, authorityKey, name, publicKey, encoded } = input
  const credential = createTrust({ crypto, authorityKey, now: () => null }).check(encoded)
  requireRole(credential, 'fog', credential.group)
  if (!equal(credential.publicKey, publicKey)) throw wrong('is for another key')
  if (name !== null && credential.deviceId !== name) throw wrong(`names "${credential.deviceId}"`)
  return credential
}

function wrong(what: string): CodedError {
  return new CodedError(
    'enrolment/wrong-credential',
    `the answer is a credential of our authority, but it ${what}; is somebody between here and the cloud?`,
  )
}
