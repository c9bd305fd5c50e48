import { existsSync, statSync } from 'node:fs'
import { equal } from '#bytes'
import { checkRevocations, type RevocationList } from '#credential'
import type { Crypto } from '#crypto'
import { defaults } from '#defaults'
import { CodedError } from '#errors'
import { readFile, replaceFile } from './files.ts'
import { readRevocations } from './revocation-file.ts'

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

/** The newest list a machine has seen, kept where nobody copies files by hand. */
export interface RevocationMemory {
  /** As saved last; null before. Whether it can be trusted is for the reader to check. */
  load(): Uint8Array | null
  save(encoded: Uint8Array): void
}

/** A file of the program's own, beside its store. @throws identity/unreadable, … from `save` */
export function rememberRevocations(path: string): RevocationMemory {
  return {
    load: () => (existsSync(path) ? readFile(path, 'delete it') : null),
    save: (encoded) => replaceFile(path, encoded),
  }
}

/**
 * The list in `memory` if this authority signed it; null when there is none. A list of another
 * authority, or a damaged one, protects nobody and must not keep a program from starting.
 */
export function recallRevocations(
  memory: RevocationMemory,
  crypto: Crypto,
  authorityKey: Uint8Array,
): RevocationList | null {
  const encoded = memory.load()
  try {
    return encoded === null ? null : checkRevocations(crypto, authorityKey, encoded)
  } catch {
    return null
  }
}

/**
 * Follows a revocation list on disk, at most `pollMs` late. The first read must succeed, for to
 * start without the list would mean to trust what it revokes; later on a file that is missing,
 * damaged or older goes to `onError` and the list in force stays. With a `memory` that holds across
 * restarts: an old file put in place while the program was down is refused as well.
 * @throws identity/missing, identity/unreadable, credential/malformed, credential/untrusted
 */
export function watchRevocations(
  path: string,
  options: {
    crypto: Crypto
    authorityKey: Uint8Array
    pollMs?: number
    memory?: RevocationMemory
    onChange?: (list: RevocationList) => void
    onError?: (error: unknown) => void
  },
): RevocationWatch {
  let seen = versionOf(path)
  let list = newest(load())

  function load(): RevocationList {
    const { crypto, authorityKey } = options
    const fix = "copy revoked.cose from the authority's folder"
    return readRevocations(path, { crypto, authorityKey, fix })
  }

  /** Of the file's list and the remembered one, at start. */
  function newest(inFile: RevocationList): RevocationList {
    const { memory, crypto, authorityKey } = options
    if (memory === undefined) return inFile
    const known = recallRevocations(memory, crypto, authorityKey)
    if (known !== null && known.number > inFile.number) {
      options.onError?.(stale(path, inFile, known))
      return known
    }
    remember(inFile)
    return inFile
  }

  /** What cannot be remembered is in force all the same. */
  function remember({ encoded }: RevocationList): void {
    try {
      options.memory?.save(encoded)
    } catch (error) {
      options.onError?.(error)
    }
  }

  function take(next: RevocationList): void {
    list = next
    remember(next)
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
