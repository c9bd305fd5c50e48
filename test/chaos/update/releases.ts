/** Ever newer versions of the real package, in a repository on 127.0.0.1. */
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { buildName } from '../../../deploy/package/files.ts'
import { makeRepository } from '../../../deploy/package/repository.ts'
import packageFile from '../../../package.json' with { type: 'json' }
import { openKeys, ownKey, serveFolder } from '../../support/update-lab.ts'
import { sh } from './machine.ts'

export interface Release {
  version: string
  /** The name of its programs: version and digest. */
  build: string
  deb: string
}

export interface Releases {
  url: string
  /** ASCII armour. */
  publicKey: string
  /** Makes the next version, and the repository offer nothing else. */
  next: () => Release
  close: () => Promise<void>
}

/** A MiB in so many ms: the download then takes about as long as the installation. */
const DOWNLOAD_PAUSE_MS = 5

export async function openReleases(folder: string, architecture: string): Promise<Releases> {
  const { version: built } = packageFile
  const original = join(import.meta.dirname, `../../../dist/fogmeter_${built}_${architecture}.deb`)
  const [tree, site] = [join(folder, 'tree'), join(folder, 'site')]
  sh('dpkg-deb', '-R', original, tree)
  rmSync(join(tree, 'DEBIAN/md5sums')) // dpkg makes its own
  const lib = join(tree, 'usr/lib/fogmeter')
  cpSync(join(lib, 'app'), join(folder, 'app'), { recursive: true })
  const keys = openKeys(join(folder, 'gnupg'))
  const server = await serveFolder(site, { pauseMs: DOWNLOAD_PAUSE_MS })
  let count = 0

  function next(): Release {
    const version = `${built}+u${count++}`
    // Programs that say another version, and so differ.
    for (const name of readdirSync(join(folder, 'app')).filter((file) => /\.js(on)?$/.test(file))) {
      const text = readFileSync(join(folder, 'app', name), 'utf8')
      writeFileSync(join(lib, 'app', name), text.replaceAll(`"${built}"`, `"${version}"`))
    }
    const build = buildName(lib, version)
    writeFileSync(join(lib, 'build'), `${build}\n`)
    const control = join(tree, 'DEBIAN/control')
    const fields = readFileSync(control, 'utf8').replace(/^Version: .*$/m, `Version: ${version}`)
    writeFileSync(control, fields)
    const deb = join(folder, `fogmeter_${version}_${architecture}.deb`)
    sh('dpkg-deb', '--root-owner-group', '-Znone', '--build', tree, deb)
    rmSync(site, { recursive: true, force: true })
    mkdirSync(site)
    const epochS = Math.floor(Date.now() / 1_000)
    makeRepository({ folder: site, debs: [deb], signKey: ownKey, validDays: 1, epochS })
    return { version, build, deb }
  }

  return {
    url: server.url,
    publicKey: keys.publicKey,
    next,
    async close() {
      keys.close()
      await server.close()
    },
  }
}
