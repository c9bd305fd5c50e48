/** Who is who: credentials, revocation lists and the trust that judges them. See README.md. */
export {
  DEFAULT_GROUP,
  decodeCredential,
  issueCredential,
  NAME_PATTERN,
  type Credential,
  type Role,
} from './credential.ts'
export { checkRevocations, isRevoked, issueRevocations, type RevocationList } from './revocation.ts'
export { CLOCK_SLACK_S, createTrust, judgingTime, requireRole, type Trust } from './trust.ts'
