/** The programs as a few JavaScript files: they start in a quarter of the time the sources need. */
import { join } from 'node:path'
import { rolldown, type Plugin } from 'rolldown'
import { bundleFirmware } from '../../apps/emulator/build.ts'
import { serialFolders } from './serial.ts'

export interface Bundle {
  /** File name → content. */
  files: Map<string, string>
  /** Folders of the npm packages that are inside. */
  packages: string[]
}

/**
 * Native code stays a package of its own; what makes firmwares has made them by then. modbus-serial
 * does without serialport where it is not there: serial lines are opened here.
 */
const external =
  /^(better-sqlite3|@serialport\/bindings-cpp|serialport|\.\/sodium-native\.node|rolldown(\/.*)?)$/
/** Firmwares of the emulator, and the machine that runs them: files beside the programs. */
const firmwares = ['small', 'noble', 'native'] as const

/** A worker is started by the address of its file, which ends in .js after bundling. */
const workerAddresses: Plugin = {
  name: 'worker-addresses',
  transform: (code, id) =>
    id.endsWith('verify-pool.ts')
      ? code.replace("new URL('./verify-worker.ts'", "new URL('./verify-worker.js'")
      : null,
}

/**
 * sodium-native's own JavaScript is bundled; it looks for its addon by way of its folder, which is
 * gone then, and asks for the file that stage.ts puts there instead.
 */
const sodiumAddon: Plugin = {
  name: 'sodium-addon',
  transform: (_code, id) =>
    id.endsWith('/sodium-native/binding.js')
      ? "module.exports = require('./sodium-native.node')"
      : null,
}

/** With a slash at the end, as the bundled ones have it. */
function nativeFolders(root: string): string[] {
  const folders = ['node_modules/better-sqlite3', ...serialFolders(root)]
  return folders.map((folder) => join(root, folder, '/'))
}

export async function bundle(root: string): Promise<Bundle> {
  const build = await rolldown({
    cwd: root,
    input: {
      fogmeter: 'apps/cli/main.ts',
      'verify-worker': 'apps/agent/verify-worker.ts',
      'run-unit': 'deploy/systemd/run-unit.ts',
    },
    platform: 'node',
    external,
    plugins: [workerAddresses, sodiumAddon],
  })
  const { output } = await build.generate({ format: 'esm', chunkFileNames: '[name]-[hash].js' })
  await build.close()
  const files = new Map<string, string>()
  const packages = new Set<string>()
  for (const chunk of output) {
    if (chunk.type !== 'chunk') continue
    files.set(chunk.fileName, chunk.code)
    for (const id of chunk.moduleIds) {
      const name = /^.*node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(id)?.[0]
      if (name !== undefined) packages.add(name)
    }
  }
  for (const name of firmwares) files.set(`firmware-${name}.js`, await bundleFirmware(name))
  if (![...files.values()].some((code) => code.includes('./verify-worker.js')))
    throw new Error('the address of the verifying worker was not found in the bundle')
  return { files, packages: [...packages, ...nativeFolders(root)].toSorted() }
}
