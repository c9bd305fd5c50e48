/** suites = [ 2* int ] / int, RFC 9528 §5.2.1: SUITES_I in message_1, SUITES_R in an error. */
import type { CborValue } from '#cbor'
import { edhocError } from './errors.ts'

/** A single suite is an integer, several are an array. @throws edhoc/bad-argument for none */
export function compactSuites(suites: readonly number[]): CborValue {
  const [first] = suites
  if (first === undefined) throw edhocError('edhoc/bad-argument', 'at least one suite is needed')
  return suites.length === 1 ? first : [...suites]
}

/** Mirrors `compactSuites`. @throws edhoc/malformed, also for an array of one */
export function expandSuites(name: string, value: CborValue | undefined): number[] {
  if (typeof value === 'number') return [value]
  if (Array.isArray(value) && value.length >= 2) {
    const suites = value.filter((suite) => typeof suite === 'number')
    if (suites.length === value.length) return suites
  }
  throw edhocError('edhoc/malformed', `${name} is neither a suite nor a list of two or more`)
}
