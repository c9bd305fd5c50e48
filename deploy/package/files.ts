/** Files of a package while it is put together: modes are set, never inherited from this machine. */
import { createHash } from 'node:crypto'
import { chmodSync, copyFileSync, mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { writeFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { gzipSync } from 'node:zlib'

/** The folder that becomes `/` of the machine a package is installed on. */
export interface Tree {
  root: string
  write(path: string, content: string | Uint8Array, mode?: number): void
  copy(from: string, path: string, mode?: number): void
  folder(path: string, mode?: number): void
  /** The same bytes on every machine and at any time: gzip without name and time. */
  zip(path: string, content: string): void
}

export function createTree(root: string): Tree {
  const made = new Set<string>()
  function folder(path: string, mode = 0o755): void {
    if (path === '.' || made.has(path)) return
    folder(dirname(path))
    made.add(path)
    mkdirSync(join(root, path), { recursive: true })
    chmodSync(join(root, path), mode)
  }
  function write(path: string, content: string | Uint8Array, mode = 0o644): void {
    folder(dirname(path))
    writeFileSync(join(root, path), content)
    chmodSync(join(root, path), mode)
  }
  folder('')
  return {
    root,
    folder,
    write,
    copy(from, path, mode = 0o644) {
      folder(dirname(path))
      copyFileSync(from, join(root, path))
      chmodSync(join(root, path), mode)
    },
    zip: (path, content) => write(path, gzipSync(content, { level: 9 })),
  }
}

/** Every file below a folder, relative to it, sorted. */
export function filesBelow(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => !entry.isDirectory())
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)))
    .toSorted()
}

/** A name for exactly these programs: the version, and a digest of every file but `build`, which holds it. */
export function buildName(folder: string, version: string): string {
  const hash = createHash('sha256')
  for (const file of filesBelow(folder)) {
    if (file === 'build') continue
    const digest = createHash('sha256')
      .update(readFileSync(join(folder, file)))
      .digest('hex')
    hash.update(`${digest}  ${file}\n`)
  }
  return `${version}-${hash.digest('hex').slice(0, 12)}`
}
