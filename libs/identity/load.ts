import { equal } from '#bytes'
import { createTrust, type Credential } from '#credential'
import { nodeCrypto } from '#crypto-node'
import { codeOf, CodedError } from '#errors'
import { readFile } from './files.ts'
import { readKeyFile, readPublicKeyFile } from './keys.ts'

export interface IdentityPaths {
  /** PKCS#8 PEM, mode 0600. */
  key: string
  /** The credential as CBOR. */
  credential: string
  /** The authority's public key, SPKI PEM. */
  authority: string
}

export interface DeviceIdentity {
  deviceId: string
  /** Ed25519 seed, 32 bytes: for `crypto.signingKey` and nothing else. */
  signingSecret: Uint8Array
  credential: Credential
  authorityKey: Uint8Array
}

/**
 * Loads who this device is, and refuses files that do not belong together: the credential must be
 * for this key and signed by this authority. Its dates are not judged here, so that a Pi whose
 * clock is not set yet can start.
 * @throws identity/missing, unreadable, permissions, bad-key, bad-credential, mismatch, untrusted
 */
export function loadIdentity(
  paths: IdentityPaths,
  options: { credentialsDirectory?: string | undefined } = {},
): DeviceIdentity {
  const guarded = options.credentialsDirectory ?? process.env['CREDENTIALS_DIRECTORY']
  const fix = 'enrol the device and copy its files here'
  const signingSecret = readKeyFile(paths.key, fix, guarded)
  const authorityKey = readPublicKeyFile(paths.authority, fix)
  const credential = readCredential(paths, authorityKey, readFile(paths.credential, fix))
  const { publicKey } = nodeCrypto.signingKey(signingSecret)
  if (!equal(publicKey, credential.publicKey))
    throw new CodedError(
      'identity/mismatch',
      `${paths.key} is not the key that ${paths.credential} was issued for; copy both again`,
    )
  return { deviceId: credential.deviceId, signingSecret, credential, authorityKey }
}

function readCredential(
  paths: IdentityPaths,
  authorityKey: Uint8Array,
  encoded: Uint8Array,
): Credential {
  try {
    return createTrust({ crypto: nodeCrypto, authorityKey, now: () => null }).check(encoded)
  } catch (error) {
    if (codeOf(error) === 'credential/untrusted')
      throw new CodedError(
        'identity/untrusted',
        `${paths.credential} was not signed by the authority in ${paths.authority}; copy both from one ` +
          'enrolment',
        { cause: error },
      )
    if (codeOf(error) === 'crypto/bad-public-key')
      throw new CodedError(
        'identity/bad-key',
        `${paths.authority} holds an unusable key; copy it again`,
        {
          cause: error,
        },
      )
    throw new CodedError(
      'identity/bad-credential',
      `${paths.credential} is damaged or no credential; copy it again from the enrolment`,
      { cause: error },
    )
  }
}
