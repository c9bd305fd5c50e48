import { CodedError, codeOf } from '#errors'

/** The code of what `action` throws; a thrown value that is not a CodedError is thrown on. */
export function codeThrown(action: () => unknown): string {
  try {
    action()
  } catch (error) {
    if (error instanceof CodedError) return codeOf(error)
    throw error
  }
  return 'nothing thrown'
}

/** What `action` returns, or null when it refuses with a code; anything else thrown is thrown on. */
export function orRefused<T>(action: () => T): T | null {
  try {
    return action()
  } catch (error) {
    if (error instanceof CodedError) return null
    throw error
  }
}
