import { equal } from '#bytes'
import { createTrust, type Credential } from '#credential'
import { nodeCrypto } from '#crypto-node'
import { codeOf, CodedError } from '#errors'
import { readFile } from './files.ts'
import { readKeyFile, readPublicKeyFile } from './keys.ts'

const FIX = 'enrol the device and copy its files here'

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
 * The name of the device a store belongs to, for those who work on the store and need no key.
 * @throws identity/missing, unreadable, bad-key, bad-credential, untrusted
 */
export function loadDeviceId(paths: Omit<IdentityPaths, 'key'>): string {
  return readCredentialFile(paths).credential.deviceId
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
  const signingSecret = readKeyFile(paths.key, FIX, guarded)
  const { authorityKey, credential } = readCredentialFile(paths)
  const { publicKey } = nodeCrypto.signingKey(signingSecret)
  if (!equal(publicKey, credential.publicKey))
    throw new CodedError(
      'identity/mismatch',
      `${paths.key} is not the key that ${paths.credential} was issued for; copy both again`,
    )
  return { deviceId: credential.deviceId, signingSecret, credential, authorityKey }
}

function readCredentialFile(paths: Omit<IdentityPaths, 'key'>) {
  const authorityKey = readPublicKeyFile(paths.authority, FIX)
  const credential = readCredential(paths, authorityKey, readFile(paths.credential, FIX))
  return { authorityKey, credential }
}

function readCredential(
  paths: Omit<IdentityPaths, 'key'>,
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
