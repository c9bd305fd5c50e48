/** Files written so that they survive a power cut, and secrets so that nobody else reads them. */
import {
  closeSync,
  existsSync,
  fstatSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs'
import { dirname, resolve, sep } from 'node:path'
import { CodedError } from '#errors'

const PRIVATE_FILE = 0o600
const PRIVATE_FOLDER = 0o700
const PUBLIC_FILE = 0o644

/** @throws identity/missing, identity/unreadable */
export function readFile(path: string, fix: string): Uint8Array {
  try {
    return Uint8Array.from(readFileSync(path))
  } catch (error) {
    throw unreadable(path, fix, error)
  }
}

/**
 * Reads a secret, if nobody but its owner can. Files below `guardedFolder` are taken as they are:
 * systemd shows its credentials with group bits that stand for an access list, not for a group.
 * @throws identity/permissions, identity/missing, identity/unreadable
 */
export function readSecretFile(path: string, fix: string, guardedFolder?: string): Uint8Array {
  let file: number
  try {
    file = openSync(path, 'r')
  } catch (error) {
    throw unreadable(path, fix, error)
  }
  try {
    const shared = (fstatSync(file).mode & 0o077) !== 0
    if (shared && !isBelow(path, guardedFolder))
      throw new CodedError(
        'identity/permissions',
        `${path} can be read by others than its owner; run: chmod 600 ${path}`,
      )
    return Uint8Array.from(readFileSync(file))
  } finally {
    closeSync(file)
  }
}

/**
 * Writes a file that must not exist yet, to disk before returning.
 * @throws identity/exists, identity/unwritable
 */
export function createFile(path: string, content: string | Uint8Array, secret: boolean): void {
  let file: number
  try {
    file = openSync(path, 'wx', secret ? PRIVATE_FILE : PUBLIC_FILE)
  } catch (error) {
    if (systemCode(error) === 'EEXIST') throw exists(path, error)
    throw unwritable(path, error)
  }
  writeAndClose(file, content)
  syncFolder(dirname(path))
}

/** To find out early what `createFile` would refuse later. @throws identity/exists */
export function requireAbsent(path: string): void {
  if (existsSync(path)) throw exists(path)
}

/**
 * Replaces a file in one step: a reader, or a power cut, sees the old or the new content, never a part.
 * @throws identity/unwritable
 */
export function replaceFile(path: string, content: string | Uint8Array, secret = false): void {
  const temporary = `${path}.new`
  try {
    rmSync(temporary, { force: true })
    createFile(temporary, content, secret)
    renameSync(temporary, path)
    syncFolder(dirname(path))
  } catch (error) {
    throw error instanceof CodedError ? error : unwritable(path, error)
  }
}

/** Appends one line, to disk before returning. @throws identity/unwritable */
export function appendLine(path: string, line: string): void {
  try {
    writeAndClose(openSync(path, 'a', PRIVATE_FILE), `${line}\n`)
  } catch (error) {
    throw unwritable(path, error)
  }
}

/** Readable by its owner alone unless `mode` says otherwise. @throws identity/unwritable */
export function createFolder(path: string, mode = PRIVATE_FOLDER): void {
  try {
    makeFolders(path, mode)
  } catch (error) {
    throw error instanceof CodedError ? error : unwritable(path, error)
  }
}

/** Node's own `recursive` never ends where the system says ENOENT below a folder, as in /proc. */
function makeFolders(path: string, mode: number): void {
  const present = statSync(path, { throwIfNoEntry: false })
  if (present?.isDirectory()) return
  if (present) throw unwritable(path, { code: 'ENOTDIR' })
  makeFolders(dirname(path), mode)
  mkdirSync(path, { mode })
}

function writeAndClose(file: number, content: string | Uint8Array): void {
  const bytes = Buffer.from(content)
  try {
    for (let done = 0; done < bytes.length;) done += writeSync(file, bytes, done)
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
}

/** Makes what happened to the names in a folder last. */
export function syncFolder(path: string): void {
  const folder = openSync(path, 'r')
  try {
    fsyncSync(folder)
  } finally {
    closeSync(folder)
  }
}

/** Whether systemd handed this file to this program; then its mode is systemd's to choose. */
export function isCredential(path: string): boolean {
  return isBelow(path, process.env['CREDENTIALS_DIRECTORY'])
}

function isBelow(path: string, folder: string | undefined): boolean {
  return folder !== undefined && resolve(path).startsWith(resolve(folder) + sep)
}

function unreadable(path: string, fix: string, cause: unknown): CodedError {
  const name = /^credential:(.*)/.exec(path)?.[1]
  if (name !== undefined)
    return new CodedError(
      'identity/missing',
      `${path} is handed over by systemd: start this by a unit with LoadCredential=${name}:FILE, or ` +
        'write the path of the file instead',
      { cause },
    )
  if (systemCode(cause) === 'ENOENT')
    return new CodedError('identity/missing', `${path} does not exist; ${fix}`, { cause })
  const reason = reasonOf(cause)
  return new CodedError('identity/unreadable', `${path} cannot be read: ${reason}`, { cause })
}

function unwritable(path: string, cause: unknown): CodedError {
  const reason = reasonOf(cause)
  return new CodedError('identity/unwritable', `${path} cannot be written: ${reason}`, { cause })
}

/** What the system says, and what to do about it. */
function reasonOf(error: unknown): string {
  const code = systemCode(error)
  const cure = cures[code]
  return cure === undefined ? code : `${cure} (${code})`
}

const cures: Readonly<Record<string, string>> = {
  EACCES: 'give the user that runs this the right to do so, or run it as the owner',
  EPERM: 'give the user that runs this the right to do so, or run it as the owner',
  EROFS: 'the disk is read-only; choose a folder elsewhere',
  ENOSPC: 'the disk is full; make room and do it again',
  EISDIR: 'a folder stands in its place; name the file',
  ENOTDIR: 'it is a file, not a folder; name another folder',
  EEXIST: 'something else stands in its place; move it away or name another path',
  ENAMETOOLONG: 'the name is too long; choose a shorter one',
  ENOENT: 'its folder does not exist; make it first',
}

function exists(path: string, cause?: unknown): CodedError {
  const message = `${path} exists already and is never overwritten; move it away first`
  return new CodedError('identity/exists', message, { cause })
}

function systemCode(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? 'unknown error'
}
