/**
 * What runs on a chip (the firmware of the emulator, and through it the meter's core that laptops
 * run too) is plain ECMAScript: no Node, no packages but @noble, nothing ambient. Names that only a
 * platform has are found by the compiler, with tsconfig.portable.json; the rest here.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { importsOf, isPortablePackage } from './imports.ts'

/** Where the code of a chip begins: every file here is an entry. */
const FIRMWARE = 'apps/emulator/firmware'

/** Clock and randomness are parameters, though the language itself offers some. */
const AMBIENT = /\b(?:Date\.now|Math\.random|globalThis)\b|\bnew Date\(\)/

export interface Walk {
  /** Every file reached, relative to the root. */
  files: string[]
  problems: string[]
}

/** Follows every import from the entries through the project at `root`. */
export function walkPortable(root: string, entries: readonly string[]): Walk {
  const files = new Set<string>()
  const problems: string[] = []

  function visit(file: string): void {
    if (files.has(file)) return
    files.add(file)
    const ambient = AMBIENT.exec(withoutComments(readFileSync(join(root, file), 'utf8')))
    if (ambient !== null) problems.push(`${file}: ${ambient[0]} is ambient; take it as a parameter`)
    for (const { target } of importsOf(join(root, file))) follow(file, target)
  }

  function follow(file: string, target: string): void {
    if (isPortablePackage(target)) return
    const path = target.startsWith('#')
      ? `libs/${target.slice(1)}/index.ts`
      : target.startsWith('.')
        ? relative(root, join(root, file, '..', target))
        : null
    if (path !== null && path.endsWith('.ts') && existsSync(join(root, path))) visit(path)
    else problems.push(`${file}: runs on chips and may not import ${target}`)
  }

  for (const entry of entries) visit(entry)
  return { files: [...files], problems }
}

/** Problems of the firmware; the compiler must look at every file of it too. */
export function portableProblems(root: string): { checked: number; problems: string[] } {
  const entries = readdirSync(join(root, FIRMWARE)).map((name) => `${FIRMWARE}/${name}`)
  const { files, problems } = walkPortable(root, entries)
  const { include } = JSON.parse(readFileSync(join(root, 'tsconfig.portable.json'), 'utf8')) as {
    include: string[]
  }
  const unseen = files.filter((file) => !include.some((folder) => file.startsWith(`${folder}/`)))
  return {
    checked: files.length,
    problems: [
      ...problems,
      ...unseen.map((file) => `${file}: runs on chips; add its folder to tsconfig.portable.json`),
    ],
  }
}

function withoutComments(text: string): string {
  return text.replaceAll(/\/\*[^]*?\*\/|\/\/.*/g, '')
}
