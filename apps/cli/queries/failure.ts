import { CodedError } from '#errors'

export function usage(message: string): CodedError {
  return new CodedError('cli/usage', message)
}

export function notFound(message: string): CodedError {
  return new CodedError('cli/not-found', message)
}
