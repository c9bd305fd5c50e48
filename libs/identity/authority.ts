/** The enrolment authority: a folder on the operator's machine, offline except to hand out files. */
import { randomBytes } from 'node:crypto'
import { basename, join, resolve } from 'node:path'
import { equal, fromBase64Url, toBase64Url } from '#bytes'
import {
  checkRevocations,
  DEFAULT_GROUP,
  isRevoked,
  issueCredential,
  issueRevocations,
  NAME_PATTERN,
  type RevocationList,
  type Role,
} from '#credential'
import type { SigningKey } from '#crypto'
import { nodeCrypto } from '#crypto-node'
import { CodedError } from '#errors'
import type { Random } from '#ports'
import { createFile, createFolder, readFile, replaceFile } from './files.ts'
import { createKeyFile, createPublicKeyFile, readKeyFile, readPublicKeyFile } from './keys.ts'
import { appendEntry, readRecord, recordPath, type Enrolment } from './record.ts'

const DEFAULT_NAME = 'fogmeter'
const DEFAULT_DAYS = 1_825
const DAY_S = 86_400
/** Devices whose clock is a little behind must not refuse a credential made a minute ago. */
const BACKDATE_S = 3_600

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
}

function authorityPaths(folder: string): AuthorityPaths {
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

/**
 * Issues a credential and writes everything the device needs into one folder. The record is
 * written first: a credential that exists can therefore always be revoked by name.
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
  const source = authorityPaths(folder)
  const authority = loadAuthorityKey(source)
  const { authorityName: issuer } = readRecord(source.record)
  retireEarlier(source, authority, name, { nowS, replace: options.replace ?? false })
  const out = options.out ?? join(folder, 'enrolled', name)
  createFolder(out)
  copyPublicFiles(source, out)

  const key = options.publicKey === undefined ? join(out, `${name}.key`) : null
  const publicKey = options.publicKey ?? createKeyFile(key as string, random)
  const id = random(8)
  const notBeforeS = nowS - BACKDATE_S
  const fields = { deviceId: name, role, group, publicKey, notBeforeS, notAfterS, issuer, id }
  const encoded = issueCredential({ authority, ...fields })
  appendEntry(source.record, {
    type: 'enrolled',
    timeS: nowS,
    deviceId: name,
    role,
    group,
    id: toBase64Url(id),
    publicKey: toBase64Url(publicKey),
    notAfterS,
    credential: toBase64Url(encoded),
  })
  const credential = join(out, `${name}.cwt`)
  replaceFile(credential, encoded)
  return { key, credential, ...publicFiles(out) }
}

/**
 * Revokes every credential of a device and signs a new revocation list. Returns the list's path;
 * it counts on a machine once it has arrived there.
 * @throws identity/not-enrolled, identity/already-revoked
 */
export function revoke(
  folder: string,
  name: string,
  options: Surroundings = {},
): { revocations: string; number: number; ids: Uint8Array[] } {
  const { nowS } = surroundings(options)
  const paths = authorityPaths(folder)
  const authority = loadAuthorityKey(paths)
  const known = enrolmentsOf(paths, name)
  if (known.length === 0)
    throw new CodedError('identity/not-enrolled', `"${name}" is not in ${paths.record}`)
  const list = loadRevocations(paths)
  const live = known.filter((entry) => !isRevoked(list, { id: fromBase64Url(entry.id) }))
  if (live.length === 0)
    throw new CodedError('identity/already-revoked', `every credential of "${name}" is revoked`)
  return extendList(paths, authority, list, { name, nowS, ids: live.map((entry) => entry.id) })
}

/**
 * Ids stay on the list after their credentials expire: a machine that does not trust its clock
 * judges no dates, and the list is then all that keeps an old credential out.
 */
function extendList(
  paths: AuthorityPaths,
  authority: SigningKey,
  list: RevocationList,
  { name, nowS, ids }: { name: string; nowS: number; ids: string[] },
): { revocations: string; number: number; ids: Uint8Array[] } {
  const number = list.number + 1
  const added = ids.map(fromBase64Url)
  const all = [...list.ids, ...added]
  const encoded = issueRevocations({ authority, number, issuedS: nowS, ids: all })
  appendEntry(paths.record, { type: 'revoked', timeS: nowS, deviceId: name, ids, number })
  replaceFile(paths.revocations, encoded)
  return { revocations: paths.revocations, number, ids: added }
}

function retireEarlier(
  paths: AuthorityPaths,
  authority: SigningKey,
  name: string,
  { nowS, replace }: { nowS: number; replace: boolean },
): void {
  const list = loadRevocations(paths)
  const live = enrolmentsOf(paths, name).filter(
    (entry) => entry.notAfterS > nowS && !isRevoked(list, { id: fromBase64Url(entry.id) }),
  )
  if (live.length === 0) return
  if (!replace)
    throw new CodedError(
      'identity/already-enrolled',
      `"${name}" has a valid credential; choose another name, or replace or revoke the old one`,
    )
  extendList(paths, authority, list, { name, nowS, ids: live.map((entry) => entry.id) })
}

function enrolmentsOf(paths: AuthorityPaths, name: string): Enrolment[] {
  return readRecord(paths.record).enrolments.filter((entry) => entry.deviceId === name)
}

function loadAuthorityKey(paths: AuthorityPaths): SigningKey {
  const secret = readKeyFile(paths.key, 'create the authority first')
  try {
    return nodeCrypto.signingKey(secret)
  } finally {
    secret.fill(0)
  }
}

function loadRevocations(paths: AuthorityPaths): RevocationList {
  const key = readPublicKeyFile(paths.authority, 'create the authority first')
  const bytes = readFile(paths.revocations, 'restore it from a copy: its number must never go back')
  return checkRevocations(nodeCrypto, key, bytes)
}

function publicFiles(folder: string): { authority: string; revocations: string } {
  const { authority, revocations } = authorityPaths(folder)
  return { authority, revocations }
}

/** authority.pub and revoked.cose beside the device's own files, unless they are there already. */
function copyPublicFiles(source: AuthorityPaths, out: string): void {
  const target = publicFiles(out)
  if (resolve(target.authority) === resolve(source.authority)) return
  const authority = readFile(source.authority, 'create the authority first')
  const present = readIfPresent(target.authority)
  if (present === null) createFile(target.authority, authority, false)
  else if (!equal(present, authority))
    throw new CodedError(
      'identity/other-authority',
      `${target.authority} (${basename(out)}) belongs to another authority; choose another folder`,
    )
  replaceFile(target.revocations, readFile(source.revocations, 'restore it from a copy'))
}

function readIfPresent(path: string): Uint8Array | null {
  try {
    return readFile(path, '')
  } catch (error) {
    if (error instanceof CodedError && error.code === 'identity/missing') return null
    throw error
  }
}

function requireName(what: string, name: string): void {
  if (!NAME_PATTERN.test(name))
    throw new CodedError(
      'identity/bad-name',
      `${what} name: use 1 to 32 letters, digits, ".", "_" or "-", no mark in front`,
    )
}

function requireDays(days: number): number {
  if (Number.isInteger(days) && days > 0 && days <= 36_500) return days
  throw new CodedError('identity/bad-validity', 'days: a whole number from 1 to 36500')
}

function surroundings(options: Surroundings): { nowS: number; random: Random } {
  return {
    nowS: options.nowS ?? Math.floor(Date.now() / 1000),
    random: options.random ?? ((length) => Uint8Array.from(randomBytes(length))),
  }
}
