/** The driver of serial ports: native code, and the packages it loads beside it. */
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { filesBelow, type Tree } from './files.ts'

const driver = 'node_modules/@serialport/bindings-cpp'
/** Only for compiling it, which nobody does here. */
const forCompiling = new Set(['node-addon-api'])

/** Folders, from `root`, of the driver and, again and again, of what its packages depend on. */
export function serialFolders(root: string): string[] {
  const found = new Set([driver])
  for (const folder of found) {
    const text = readFileSync(join(root, folder, 'package.json'), 'utf8')
    const { dependencies = {} } = JSON.parse(text) as { dependencies?: Record<string, string> }
    for (const name of Object.keys(dependencies)) {
      if (!forCompiling.has(name)) found.add(folderOf(root, folder, name))
    }
  }
  return [...found]
}

/** Where Node finds `name` when a file in `from` asks for it. */
function folderOf(root: string, from: string, name: string): string {
  for (let at = from; at !== '.'; at = dirname(at)) {
    const folder = join(at, 'node_modules', name)
    if (existsSync(join(root, folder, 'package.json'))) return folder
  }
  return join('node_modules', name)
}

/**
 * Copies them into `to`, each at the same place; returns the path of the native code, of which only
 * this architecture's comes along.
 */
export function addSerial(tree: Tree, root: string, to: string, architecture: string): string {
  const native = new RegExp(`^prebuilds/linux-${architecture}/[^/]*\\.glibc\\.node$`)
  const wanted = /^(package\.json|(dist|src)\/.*\.js|[^/]+\.js)$/
  let path: string | null = null
  for (const folder of serialFolders(root)) {
    for (const file of filesBelow(join(root, folder))) {
      if (!wanted.test(file) && !native.test(file)) continue
      if (isProgram(join(root, folder, file))) continue
      tree.copy(join(root, folder, file), join(to, folder, file))
      if (native.test(file)) path = join(to, folder, file)
    }
  }
  if (path === null) throw new Error(`${driver} has nothing for linux-${architecture}`)
  return path
}

/** Started by npm when it installs or compiles, which nobody does here. */
function isProgram(path: string): boolean {
  return readFileSync(path).subarray(0, 2).toString('latin1') === '#!'
}
