import { checkRevocations, type RevocationList } from '#credential'
import type { Crypto } from '#crypto'
import { codeOf, CodedError } from '#errors'
import { readFile } from './files.ts'

/**
 * The signed list in a file; the error names the file, what is wrong with it and the cure.
 * @throws identity/missing, identity/unreadable, credential/malformed, credential/untrusted
 */
export function readRevocations(
  path: string,
  options: { crypto: Crypto; authorityKey: Uint8Array; fix: string },
): RevocationList {
  const { crypto, authorityKey, fix } = options
  const bytes = readFile(path, fix)
  try {
    return checkRevocations(crypto, authorityKey, bytes)
  } catch (error) {
    if (!(error instanceof CodedError)) throw error
    const what =
      codeOf(error) === 'credential/untrusted'
        ? 'was not signed by the authority whose public key lies here'
        : 'is damaged or no revocation list'
    throw new CodedError(error.code, `${path} ${what}; ${fix}`, { cause: error })
  }
}
