/**
 * The one error class that crosses a library's door. `code` is stable and meant for programs
 * (`library/what-happened`); `message` is for people: what happened, where, what to do next.
 * Neither ever contains key material.
 */
export class CodedError extends Error {
  readonly code: string

  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'CodedError'
    this.code = code
  }
}

/** The stable code of any thrown value; `unexpected` when it is not one of ours. */
export function codeOf(error: unknown): string {
  return error instanceof CodedError ? error.code : 'unexpected'
}

/** What to tell people about any thrown value: our own errors say what to do, others only their code. */
export function wordsOf(error: unknown): string {
  return error instanceof CodedError ? `${error.message} (${error.code})` : codeOf(error)
}
