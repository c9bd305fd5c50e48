import { CodedError } from '#errors'

export type CborErrorCode =
  'cbor/malformed' | 'cbor/not-deterministic' | 'cbor/too-deep' | 'cbor/too-large'

export function refuse(code: CborErrorCode, message: string, cause?: unknown): CodedError {
  return new CodedError(code, message, cause === undefined ? undefined : { cause })
}
