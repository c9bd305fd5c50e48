import { readFileSync } from 'node:fs'

/**
 * The version in the nearest package.json of this program, looked for upwards from here, since the
 * bundle for the Pi lies at another depth than the sources; `unknown` when there is none.
 */
export const version: string = findVersion(import.meta.url)

function findVersion(from: string): string {
  for (let up = './'; up.length < 20; up += '../') {
    const found = versionIn(new URL(`${up}package.json`, from))
    if (found !== null) return found
  }
  return 'unknown'
}

function versionIn(file: URL): string | null {
  try {
    const parsed = JSON.parse(readFileSync(file, 'utf8')) as { name?: unknown; version?: unknown }
    return parsed.name === 'fogmeter' && typeof parsed.version === 'string' ? parsed.version : null
  } catch {
    return null
  }
}
