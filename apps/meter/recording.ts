import { appendFileSync } from 'node:fs'
import { CodedError } from '#errors'

/**
 * Appends bytes to a file that only this user can read: telegrams say when somebody is at home.
 * Throws `port/not-recorded`.
 */
export function recorder(path: string): (bytes: Uint8Array) => void {
  return (bytes) => {
    try {
      appendFileSync(path, bytes, { mode: 0o600 })
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause)
      throw new CodedError('port/not-recorded', `--log-telegrams ${path}: ${reason}`, { cause })
    }
  }
}
