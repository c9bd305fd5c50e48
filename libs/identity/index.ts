/** Keys and credentials as files: making them on the operator's machine, loading them everywhere. */
export { authorityPaths, createAuthority, loadAuthorityKey, loadRevocations } from './authority.ts'
export { enrol, enrolKey, requireFree, type EnrolmentPaths, type EnrolOptions } from './enrol.ts'
export { revoke } from './revoke.ts'
export { createKeyFile, ensureKeyFile, readPublicKeyFile } from './keys.ts'
export { createFolder, isCredential, readFile, replaceFile, syncFolder } from './files.ts'
export { loadDeviceId, loadIdentity, type DeviceIdentity, type IdentityPaths } from './load.ts'
export { readEnrolments } from './record.ts'
export {
  recallRevocations,
  rememberRevocations,
  watchRevocations,
  type RevocationWatch,
} from './watch.ts'
