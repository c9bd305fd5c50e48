/** What the operator signed into a repository before: since then others may have written to its folder. */
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'

/**
 * Names of files below the folder and their SHA-256, as its `InRelease` has them; none when that was not
 * signed by a key whose secret half is here.
 */
export function signedBefore(folder: string): Map<string, string> {
  const path = join(folder, 'InRelease')
  if (!existsSync(path)) return new Map()
  const args = ['--batch', '--status-fd', '2', '--decrypt', path]
  const { status, stdout, stderr } = spawnSync('gpg', args, { encoding: 'utf8' })
  // gnupg/DETAILS: the last field is the fingerprint of the primary key.
  const signer = /^\[GNUPG:\] VALIDSIG .* ([0-9A-F]{40,})$/m.exec(stderr)?.[1]
  if (status !== 0 || signer === undefined || !secretKeys().includes(signer)) return new Map()
  const sums = stdout.matchAll(/^ ([0-9a-f]{64}) +\d+ (\S+)$/gm)
  return new Map(Array.from(sums, ([, sum = '', name = '']) => [name, sum]))
}

function secretKeys(): string[] {
  const args = ['--batch', '--with-colons', '--list-secret-keys']
  const { stdout } = spawnSync('gpg', args, { encoding: 'utf8' })
  return Array.from(stdout.matchAll(/^fpr:+([0-9A-F]+):/gm), ([, fingerprint = '']) => fingerprint)
}
