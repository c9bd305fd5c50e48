import { CodedError } from '#errors'
import { coloursFor } from './colours.ts'

/** The command line's exit codes; scripts depend on them. */
export const exitCodes = { ok: 0, failure: 1, usage: 2, notFound: 3, notVerified: 4 } as const

const NOT_FOUND = /\/(not-found|not-enrolled|missing|no-file|unreadable|unknown-\w+)$/
const NOT_VERIFIED = /\/(untrusted|bad-signature|revoked|expired|forged|mismatch)$/
const USAGE = /^(config\/invalid|cli\/.*|.*\/(bad-name|bad-validity))$/

/** The exit code for an error's stable code. */
export function exitCodeOf(error: unknown): number {
  if (!(error instanceof CodedError)) return exitCodes.failure
  if (USAGE.test(error.code)) return exitCodes.usage
  if (NOT_FOUND.test(error.code)) return exitCodes.notFound
  if (NOT_VERIFIED.test(error.code)) return exitCodes.notVerified
  return exitCodes.failure
}

/**
 * What went wrong, for a person: our own errors say what happened, where, and what to do; anything
 * else is a defect and shows where it came from.
 */
export function describeError(error: unknown): string {
  const start = coloursFor(process.stderr).red('fogmeter:')
  if (error instanceof CodedError) return `${start} ${error.message} (${error.code})\n`
  const detail = error instanceof Error ? (error.stack ?? error.message) : String(error)
  return `${start} an unexpected error; please report it with this: ${detail}\n`
}
