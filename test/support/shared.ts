import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

/**
 * The path of a file in the development data set that sits beside a developer's checkout, or null
 * in a plain clone; a test that needs it skips there and says so in its name.
 */
export function sharedPath(relative: string): string | null {
  const path = fileURLToPath(new URL(`../../../shared/${relative}`, import.meta.url))
  return existsSync(path) ? path : null
}
