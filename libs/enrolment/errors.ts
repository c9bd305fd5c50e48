import { CodedError } from '#errors'

/** Codes that cross the wire as well: the cloud's answer and the Pi's complaint are the same. */
export type EnrolmentCode =
  | 'malformed'
  | 'bad-proof'
  | 'unknown-token'
  | 'wrong-name'
  | 'token-used'
  | 'expired'
  | 'name-missing'
  | 'not-asked'

export function enrolmentError(code: EnrolmentCode, message: string, cause?: unknown): CodedError {
  return new CodedError(`enrolment/${code}`, message, cause === undefined ? undefined : { cause })
}
