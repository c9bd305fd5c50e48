import { CodedError } from '#errors'

/** Exit codes of the query commands. */
export const exitCodes = { ok: 0, failure: 1, usage: 2, notFound: 3 } as const

/** A question that could not be answered, with the exit code that says why. */
export class QueryFailure extends CodedError {
  readonly exitCode: number

  constructor(exitCode: number, code: string, message: string, options?: ErrorOptions) {
    super(code, message, options)
    this.exitCode = exitCode
  }
}

export function usage(message: string): QueryFailure {
  return new QueryFailure(exitCodes.usage, 'cli/usage', message)
}

export function notFound(message: string): QueryFailure {
  return new QueryFailure(exitCodes.notFound, 'cli/not-found', message)
}

export function exitCodeOf(error: unknown): number {
  if (error instanceof QueryFailure) return error.exitCode
  if (error instanceof CodedError && error.code.startsWith('query/')) return exitCodes.usage
  return exitCodes.failure
}
