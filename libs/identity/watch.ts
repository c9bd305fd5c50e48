import { statSync } from 'node:fs'
import { equal } from '#bytes'
import { checkRevocations, type RevocationList } from '#credential'
import type { Crypto } from '#crypto'
import { defaults } from '#defaults'
import { CodedError } from '#errors'
import { readFile, replaceFile } from './files.ts'

export interface RevocationWatch {
  /** The newest good list seen. */
  current(): RevocationList
  /** Looks at the file now instead of at the next poll. */
  refresh(): void
  /**
   * A list that came over the network: taken, and put into the file, if it is newer.
   * Returns whether it was. @throws credential/malformed, credential/untrusted
   */
  offer(encoded: Uint8Array): boolean
  close(): void
}

/**
 * Follows a revocation list on disk, at most `pollMs` late. The first read must succeed, for to
 * start without the list would mean to trust what it revokes; later on a file that is missing,
 * damaged or older goes to `onError` and the list in force stays.
 * @throws identity/missing, identity/unreadable, credential/malformed, credential/untrusted
 */
export function watchRevocations(
  path: string,
  options: {
    crypto: Crypto
    authorityKey: Uint8Array
    pollMs?: number
    onChange?: (list: RevocationList) => void
    onError?: (error: unknown) => void
  },
): RevocationWatch {
  let seen = versionOf(path)
  let list = load()

  function load(): RevocationList {
    const bytes = readFile(path, "copy revoked.cose from the authority's folder")
    return checkRevocations(options.crypto, options.authorityKey, bytes)
  }

  function take(next: RevocationList): void {
    list = next
    options.onChange?.(list)
  }

  function refresh(): void {
    const version = versionOf(path)
    if (version === seen) return
    seen = version
    try {
      const next = load()
      if (equal(next.encoded, list.encoded)) return
      if (next.number <= list.number) throw stale(path, next, list)
      take(next)
    } catch (error) {
      options.onError?.(error)
    }
  }

  function offer(encoded: Uint8Array): boolean {
    const next = checkRevocations(options.crypto, options.authorityKey, encoded)
    if (next.number <= list.number) return false
    take(next) // in force even where the file cannot be written
    try {
      replaceFile(path, encoded)
      seen = versionOf(path)
    } catch (error) {
      options.onError?.(error)
    }
    return true
  }

  const timer = setInterval(refresh, options.pollMs ?? defaults.revocationPollMs)
  timer.unref()
  return { current: () => list, refresh, offer, close: () => clearInterval(timer) }
}

/** Changes whenever the file is replaced or rewritten. */
function versionOf(path: string): string {
  const stat = statSync(path, { bigint: true, throwIfNoEntry: false })
  return stat === undefined ? 'missing' : `${stat.ino} ${stat.size} ${stat.mtimeNs}`
}

function stale(path: string, next: RevocationList, list: RevocationList): CodedError {
  return new CodedError(
    'identity/stale-revocations',
    `${path} holds list ${next.number}, but list ${list.number} is in force; copy the newest one`,
  )
}
