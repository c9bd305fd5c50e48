import { fromBase64Url } from '#bytes'
import { isRevoked, issueRevocations, type RevocationList } from '#credential'
import type { SigningKey } from '#crypto'
import { CodedError } from '#errors'
import {
  authorityPaths,
  loadAuthorityKey,
  loadRevocations,
  surroundings,
  type AuthorityPaths,
  type Surroundings,
} from './authority.ts'
import { replaceFile } from './files.ts'
import { appendEntry, readRecord, type Enrolment } from './record.ts'

/**
 * Revokes every credential of a device and signs a new revocation list. Returns the list's path;
 * it counts on a machine once it has arrived there.
 * @throws identity/not-enrolled, identity/already-revoked, credential/list-full
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
    throw new CodedError(
      'identity/not-enrolled',
      `no device "${name}" was enrolled: ${paths.record} lists those that were`,
    )
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
export function extendList(
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

/** Every credential a name was ever given, oldest first. */
export function enrolmentsOf(paths: AuthorityPaths, name: string): Enrolment[] {
  return readRecord(paths.record).enrolments.filter((entry) => entry.deviceId === name)
}
