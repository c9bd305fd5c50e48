import { CodedError } from '#errors'
import { coloursFor } from './colours.ts'
import { printableLines } from './printable.ts'

/**
 * What went wrong, for a person: our own errors say what happened, where, and what to do; anything
 * else is a defect and shows where it came from.
 */
export function describeError(error: unknown): string {
  const start = coloursFor(process.stderr).red('fogmeter:')
  if (error instanceof CodedError)
    return `${start} ${printableLines(error.message)} (${error.code})\n`
  const detail = error instanceof Error ? (error.stack ?? error.message) : String(error)
  return `${start} an unexpected error; please report it with this: ${printableLines(detail)}\n`
}
