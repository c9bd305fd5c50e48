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

/** The recorder that was asked for, if one was. Throws `cli/usage` where a source has no telegrams. */
export function recorderFor({ kind }: { kind: string }, path: string | undefined) {
  if (path === undefined) return undefined
  if (kind === 'p1' || kind === 'sml') return recorder(path)
  throw new CodedError(
    'cli/usage',
    `--log-telegrams is for p1 and sml, which speak in telegrams; ${kind} does not`,
  )
}
