import { execFileSync } from 'node:child_process'
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/**
 * Writes SHA256SUMS over `files` of a folder and, with a key, SHA256SUMS.sig: Ed25519 (RFC 8032) over the
 * bytes of SHA256SUMS, as `openssl pkeyutl -rawin` makes and checks it.
 */
export async function sign(
  folder: string,
  files: readonly string[],
  key: string | undefined,
  digest: (path: string) => Promise<{ sha256: string }>,
): Promise<void> {
  const sums = join(folder, 'SHA256SUMS')
  const lines: string[] = []
  for (const file of files) lines.push(`${(await digest(join(folder, file))).sha256}  ${file}\n`)
  writeFileSync(sums, lines.join(''))
  rmSync(`${sums}.sig`, { force: true })
  if (key === undefined) return
  const args = ['pkeyutl', '-sign', '-rawin', '-inkey', key, '-in', sums, '-out', `${sums}.sig`]
  execFileSync('openssl', args, { stdio: ['ignore', 2, 2] })
}
