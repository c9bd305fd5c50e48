/** The enrolment authority: a folder on the operator's machine, offline except to hand out files. */
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { toBase64Url } from '#bytes'
import { issueRevocations, NAME_PATTERN, type RevocationList } from '#credential'
import type { SigningKey } from '#crypto'
import { nodeCrypto } from '#crypto-node'
import { CodedError } from '#errors'
import type { Random } from '#ports'
import { createFile, createFolder } from './files.ts'
import { createKeyFile, createPublicKeyFile, readKeyFile, readPublicKeyFile } from './keys.ts'
import { recordPath } from './record.ts'
import { readRevocations } from './revocation-file.ts'

const DEFAULT_NAME = 'fogmeter'

/** Where time and randomness come from; the system's, unless a test says otherwise. */
export interface Surroundings {
  nowS?: number
  random?: Random
}

export interface AuthorityPaths {
  key: string
  authority: string
  revocations: string
  record: string
}

/** Where everything is in an authority's folder. */
export function authorityPaths(folder: string): AuthorityPaths {
  return {
    key: join(folder, 'authority.key'),
    authority: join(folder, 'authority.pub'),
    revocations: join(folder, 'revoked.cose'),
    record: recordPath(folder),
  }
}

/**
 * Makes a new authority in `folder`: its key, its public key, an empty revocation list and the
 * record of enrolments. `name` is the issuer in every credential.
 * @throws identity/exists, identity/bad-name
 */
export function createAuthority(
  folder: string,
  options: Surroundings & { name?: string } = {},
): AuthorityPaths {
  const { nowS, random } = surroundings(options)
  const name = options.name ?? DEFAULT_NAME
  requireName('authority', name)
  createFolder(folder)
  const paths = authorityPaths(folder)
  const publicKey = createKeyFile(paths.key, random)
  createPublicKeyFile(paths.authority, publicKey)
  const authority = loadAuthorityKey(paths)
  const empty = issueRevocations({ authority, number: 1, issuedS: nowS, ids: [] })
  createFile(paths.revocations, empty, false)
  const founding = {
    type: 'authority',
    timeS: nowS,
    name,
    publicKey: toBase64Url(publicKey),
  } as const
  createFile(paths.record, `${JSON.stringify(founding)}\n`, true)
  return paths
}

/** @throws identity/missing, permissions, bad-key */
export function loadAuthorityKey(paths: AuthorityPaths): SigningKey {
  const secret = readKeyFile(
    paths.key,
    'create the authority first, or say where it is with --authority',
  )
  try {
    return nodeCrypto.signingKey(secret)
  } finally {
    secret.fill(0)
  }
}

/**
 * The newest list this authority signed.
 * @throws identity/missing, credential/malformed, credential/untrusted, …
 */
export function loadRevocations(paths: AuthorityPaths): RevocationList {
  const key = readPublicKeyFile(
    paths.authority,
    'create the authority first, or say where it is with --authority',
  )
  return readRevocations(paths.revocations, {
    crypto: nodeCrypto,
    authorityKey: key,
    fix: 'restore its newest copy, for example from a device: its number must never go back',
  })
}

/** @throws identity/bad-name */
export function requireName(what: string, name: string): void {
  if (!NAME_PATTERN.test(name))
    throw new CodedError(
      'identity/bad-name',
      `${what} name ${JSON.stringify(name.slice(0, 40))}: use 1 to 32 letters, digits, ".", "_" or "-", no mark in front`,
    )
}

export function surroundings(options: Surroundings): { nowS: number; random: Random } {
  return {
    nowS: options.nowS ?? Math.floor(Date.now() / 1000),
    random: options.random ?? ((length) => Uint8Array.from(randomBytes(length))),
  }
}
