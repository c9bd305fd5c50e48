import { chownSync, closeSync, existsSync, fsyncSync, openSync, rmSync, statSync } from 'node:fs'
import { dirname } from 'node:path'

/** What SQLite keeps beside a database while it is open, or after a crash. */
export const companions = ['-wal', '-shm', '-journal'] as const

/** Beside a store whose files are being exchanged one by one: what is there may be half of each. */
export const exchangeMark = (path: string) => `${path}-restoring`

/** Waits until the content of a file, or the names in a folder, are on disk. */
export function syncPath(path: string): void {
  const file = openSync(path, 'r')
  try {
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
}

/** The folder's entry for `path` is on disk when this returns. */
export function syncFolderOf(path: string): void {
  syncPath(dirname(path))
}

/** Makes an empty file nobody else can read; throws EEXIST when there is one. */
export function createPrivateFile(path: string): void {
  closeSync(openSync(path, 'wx', 0o600))
}

/** What root makes in the folder of a program is that program's, or it could not start. */
export function giveToOwnerOfFolder(path: string): void {
  if (process.getuid?.() !== 0) return
  const { uid, gid } = statSync(dirname(path))
  chownSync(path, uid, gid)
}

/** Removes a database that was only a step on the way. */
export function removeDatabase(path: string): void {
  for (const file of [path, ...companions.map((end) => path + end)]) {
    if (existsSync(file)) rmSync(file, { force: true })
  }
}
