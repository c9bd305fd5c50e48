import { readFileSync } from 'node:fs'

export interface Import {
  file: string
  target: string
}

const IMPORT =
  /(?:^|\n)\s*(?:import|export)\b[^'"\n;]*?(?:\n[^'"]*?)?from\s+['"]([^'"]+)['"]|import\(\s*['"]([^'"]+)['"]\s*\)|(?:^|\n)import\s+['"]([^'"]+)['"]/g

/** Every static or dynamic import of a source file, types included. */
export function importsOf(file: string): Import[] {
  const text = readFileSync(file, 'utf8')
  return [...text.matchAll(IMPORT)].map((match) => ({
    file,
    target: match[1] ?? match[2] ?? match[3] ?? '',
  }))
}

/** Packages that run anywhere; everything else from npm counts as a Node package. */
export function isPortablePackage(name: string): boolean {
  return name.startsWith('@noble/')
}
