import { readFileSync } from 'node:fs'
import type { MeterConfig } from '#config'
import { CodedError } from '#errors'

type Access = Pick<MeterConfig['broker'], 'url' | 'ca' | 'username' | 'passwordFile'>

/** How to reach a broker, its password read. Throws `meter/no-password`. */
export function brokerAccess({ url, ca, username, passwordFile }: Access) {
  return {
    url,
    ...(ca !== undefined && { ca }),
    ...(username !== undefined && { username }),
    ...(passwordFile !== undefined && { password: readPassword(passwordFile) }),
  }
}

function readPassword(path: string): string {
  try {
    return readFileSync(path, 'utf8').trim()
  } catch (cause) {
    throw new CodedError(
      'meter/no-password',
      `${path} (password_file) cannot be read: put the broker's password into it, mode 0600`,
      { cause },
    )
  }
}
