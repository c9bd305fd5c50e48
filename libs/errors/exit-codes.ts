import { CodedError } from './coded-error.ts'

/** Exit codes of every program and command here; scripts depend on them. */
export const exitCodes = { ok: 0, failure: 1, usage: 2, notFound: 3, notVerified: 4 } as const

/** The command line or the configuration is wrong. */
const USAGE =
  /^(config\/invalid|query\/.*|cli\/(usage|bad-.*)|http\/token-missing|.*\/bad-(name|url|validity|wifi|code))$/
/** Something named there is not where it is said to be. */
const NOT_FOUND =
  /\/(not-found|not-enrolled|missing|unreadable|token-unreadable|no-(file|key|password|store|token))$/
/** It is there, and is not what it has to be. */
const NOT_VERIFIED =
  /^(.*\/(untrusted|bad-signature|revoked|expired|not-yet-valid|mismatch|wrong-(role|group)|store-damaged)|credential\/malformed|sqlite\/(corrupt|wrong-store)|identity\/(bad-key|bad-credential|damaged-record|other-authority))$/

/** The exit code for an error's stable code. */
export function exitCodeOf(error: unknown): number {
  if (!(error instanceof CodedError)) return exitCodes.failure
  if (USAGE.test(error.code)) return exitCodes.usage
  if (NOT_FOUND.test(error.code)) return exitCodes.notFound
  if (NOT_VERIFIED.test(error.code)) return exitCodes.notVerified
  return exitCodes.failure
}
