import { closeSync, existsSync, fstatSync, fsyncSync, openSync, rmSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'
import { syncFolder } from '#identity'

/**
 * Overwrites a file and removes its name. On a memory card the old bytes may live on in a block that
 * is out of use; what was in the file has to be worthless by now.
 */
export function eraseFile(path: string): void {
  if (!existsSync(path)) return
  const file = openSync(path, 'r+')
  try {
    const zeros = Buffer.alloc(fstatSync(file).size)
    for (let done = 0; done < zeros.length;) done += writeSync(file, zeros, done)
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
  rmSync(path)
  syncFolder(dirname(path))
}
