import { join, resolve } from 'node:path'
import { equal, fromBase64Url, toBase64Url } from '#bytes'
import {
  DEFAULT_GROUP,
  isRevoked,
  issueCredential,
  type Credential,
  type RevocationList,
  type Role,
} from '#credential'
import { checkPublicKey, type SigningKey } from '#crypto'
import { codeOf, CodedError } from '#errors'
import {
  authorityPaths,
  loadAuthorityKey,
  loadRevocations,
  requireName,
  surroundings,
  type AuthorityPaths,
  type Surroundings,
} from './authority.ts'
import { createFile, createFolder, readFile, replaceFile, requireAbsent } from './files.ts'
import { createKeyFile } from './keys.ts'
import { appendEntry, readRecord, type Enrolment } from './record.ts'
import { enrolmentsOf, extendList } from './revoke.ts'

const DEFAULT_DAYS = 1_825
const DAY_S = 86_400
/** Devices whose clock is a little behind must not refuse a credential made a minute ago. */
const BACKDATE_S = 3_600

export interface EnrolOptions extends Surroundings {
  /** Devices talk only within their group. */
  group?: string
  /** Validity from now, 1825 if not given. */
  days?: number
  /** Folder for the device's files; `enrolled/NAME` below the authority's folder if not given. */
  out?: string
  /** A key made on the device itself; no key file is written then. */
  publicKey?: Uint8Array
  /** Revoke the device's earlier credentials in the same step; otherwise they are an error. */
  replace?: boolean
}

export interface EnrolmentPaths {
  /** null when the device brought its own key. */
  key: string | null
  credential: string
  authority: string
  revocations: string
  /** Earlier credentials that were revoked by it. */
  replaced: number
}

/**
 * Issues a credential and writes everything the device needs into one folder. The record comes
 * before the credential: one that exists can therefore always be revoked by name.
 * @throws identity/already-enrolled, exists, bad-name, missing, …
 */
export function enrol(
  folder: string,
  role: Role,
  name: string,
  options: EnrolOptions = {},
): EnrolmentPaths {
  const { nowS, random } = surroundings(options)
  const group = options.group ?? DEFAULT_GROUP
  requireName('device', name)
  requireName('group', group)
  const notAfterS = nowS + requireDays(options.days ?? DEFAULT_DAYS) * DAY_S
  const out = options.out ?? join(folder, 'enrolled', name)
  const key = options.publicKey === undefined ? join(out, `${name}.key`) : null
  if (key === null) checkPublicKey(options.publicKey as Uint8Array)
  else requireAbsent(key)
  const source = authorityPaths(folder)
  const authority = loadAuthorityKey(source)
  const { authorityName: issuer } = readRecord(source.record)
  createFolder(out)
  placeAuthority(source, out)
  const retired = { nowS, replace: options.replace ?? false }
  const replaced = retireEarlier(source, authority, name, retired)

  const publicKey = options.publicKey ?? createKeyFile(key as string, random)
  const notBeforeS = Math.max(0, nowS - BACKDATE_S)
  const validity = { notBeforeS, notAfterS }
  const device = { deviceId: name, role, group, publicKey, issuer, id: random(8), ...validity }
  const encoded = issueCredential({ authority, ...device })
  recordEnrolment(source, device, encoded, nowS)
  const credential = join(out, `${name}.cwt`)
  replaceFile(credential, encoded)
  return { key, credential, ...placeRevocations(source, out), replaced }
}

function recordEnrolment(
  { record }: AuthorityPaths,
  device: Omit<Credential, 'encoded'>,
  encoded: Uint8Array,
  timeS: number,
): void {
  const { deviceId, role, group, notAfterS } = device
  const id = toBase64Url(device.id)
  const publicKey = toBase64Url(device.publicKey)
  const credential = toBase64Url(encoded)
  const entry = { timeS, deviceId, role, group, id, publicKey, notAfterS, credential }
  appendEntry(record, { type: 'enrolled', ...entry })
}

function requireDays(days: number): number {
  if (Number.isInteger(days) && days > 0 && days <= 36_500) return days
  throw new CodedError('identity/bad-validity', 'days: a whole number from 1 to 36500')
}

/** Returns how many credentials it revoked. */
function retireEarlier(
  paths: AuthorityPaths,
  authority: SigningKey,
  name: string,
  { nowS, replace }: { nowS: number; replace: boolean },
): number {
  const list = loadRevocations(paths)
  const live = liveEnrolments(paths, name, { list, nowS })
  if (live.length === 0) return 0
  if (!replace) throw alreadyEnrolled(name)
  extendList(paths, authority, list, { name, nowS, ids: live.map((entry) => entry.id) })
  return live.length
}

function liveEnrolments(
  paths: AuthorityPaths,
  name: string,
  { list, nowS }: { list: RevocationList; nowS: number },
): Enrolment[] {
  return enrolmentsOf(paths, name).filter(
    (entry) => entry.notAfterS > nowS && !isRevoked(list, { id: fromBase64Url(entry.id) }),
  )
}

function alreadyEnrolled(name: string): CodedError {
  return new CodedError(
    'identity/already-enrolled',
    `"${name}" has a valid credential; choose another name, or replace or revoke the old one`,
  )
}

/**
 * What `enrolKey` would say to this name for a new key. A name that is a device of another role is not
 * replaced: who may enrol fog nodes must not revoke meters by it.
 * @throws identity/already-enrolled, …
 */
export function requireFree(
  folder: string,
  role: Role,
  name: string,
  options: Surroundings & { replace?: boolean } = {},
): void {
  const { nowS } = surroundings(options)
  const paths = authorityPaths(folder)
  const live = liveEnrolments(paths, name, { list: loadRevocations(paths), nowS })
  const replaceable = options.replace === true && live.every((entry) => entry.role === role)
  if (live.length > 0 && !replaceable) throw alreadyEnrolled(name)
}

/**
 * A credential for a key that was made on the device. Asked again for the same name and key it gives
 * the one that was issued, so that whoever lost the answer can ask again. @throws as `enrol`
 */
export function enrolKey(
  folder: string,
  role: Role,
  name: string,
  options: EnrolOptions & { publicKey: Uint8Array },
): Uint8Array {
  const { nowS } = surroundings(options)
  const paths = authorityPaths(folder)
  const list = loadRevocations(paths)
  const key = toBase64Url(options.publicKey)
  const issued = liveEnrolments(paths, name, { list, nowS }).findLast(
    (entry) => entry.publicKey === key && entry.role === role,
  )
  if (issued !== undefined) return fromBase64Url(issued.credential)
  requireFree(folder, role, name, options)
  return readFile(enrol(folder, role, name, options).credential, 'it was just written')
}

/** authority.pub beside the device's own files, unless it is there already. */
function placeAuthority(source: AuthorityPaths, out: string): void {
  const target = authorityPaths(out).authority
  const authority = readFile(
    source.authority,
    'create the authority first, or say where it is with --authority',
  )
  const present = readIfPresent(target)
  if (present === null) createFile(target, authority, false)
  else if (!equal(present, authority))
    throw new CodedError(
      'identity/other-authority',
      `${target} belongs to another authority; choose another folder`,
    )
}

/** The newest revocation list beside them. */
function placeRevocations(
  source: AuthorityPaths,
  out: string,
): { authority: string; revocations: string } {
  const { authority, revocations } = authorityPaths(out)
  if (resolve(revocations) !== resolve(source.revocations))
    replaceFile(revocations, readFile(source.revocations, 'restore it from a copy'))
  return { authority, revocations }
}

function readIfPresent(path: string): Uint8Array | null {
  try {
    return readFile(path, '')
  } catch (error) {
    if (codeOf(error) === 'identity/missing') return null
    throw error
  }
}
