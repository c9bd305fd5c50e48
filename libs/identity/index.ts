/** Keys and credentials as files: making them on the operator's machine, loading them everywhere. */
export { authorityPaths, createAuthority, loadAuthorityKey, loadRevocations } from './authority.ts'
export { enrol, type EnrolmentPaths, type EnrolOptions } from './enrol.ts'
export { revoke } from './revoke.ts'
export { createKeyFile } from './keys.ts'
export { isCredential } from './files.ts'
export { loadDeviceId, loadIdentity, type DeviceIdentity, type IdentityPaths } from './load.ts'
export { readEnrolments } from './record.ts'
export {
  recallRevocations,
  rememberRevocations,
  watchRevocations,
  type RevocationWatch,
} from './watch.ts'
