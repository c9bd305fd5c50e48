/** Who made what is inside: everybody's own words, each text once. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

interface Part {
  name: string
  licence: string
}

/** The copyright file of a package with these npm packages and this Node inside. */
export function copyrightFile(root: string, packages: readonly string[], node: string): string {
  const parts: Part[] = [
    { name: 'Fogmeter', licence: readFileSync(join(root, 'LICENSE'), 'utf8') },
    { name: 'Household data in data/household-days.txt.gz', licence: household },
    ...packages.map(npmPart),
    { name: 'libsodium in sodium-native', licence: libsodium },
    { name: `Node.js (${versionOf(node)})`, licence: readFileSync(join(node, 'LICENSE'), 'utf8') },
  ]
  const byText = Map.groupBy(parts, ({ licence }) => licence.trim())
  const sections = Array.from(byText, ([licence, same]) => {
    const title = same.map(({ name }) => name).join('\n')
    return `${title}\n${'-'.repeat(72)}\n${licence}\n`
  })
  return `What this package holds, and on what terms.\n\n${sections.join('\n\n')}`
}

const household = `An excerpt of "Individual household electric power consumption" by G. Hebrail and A. Berard,
UCI Machine Learning Repository, doi 10.24432/C58K54, under the Creative Commons Attribution 4.0
International licence, https://creativecommons.org/licenses/by/4.0/legalcode`

const libsodium = `ISC License

Copyright (c) 2013-2026 Frank Denis <j at pureftpd dot org>

Permission to use, copy, modify, and/or distribute this software for any purpose with or without fee is
hereby granted, provided that the above copyright notice and this permission notice appear in all copies.

THE SOFTWARE IS PROVIDED "AS IS" AND THE AUTHOR DISCLAIMS ALL WARRANTIES WITH REGARD TO THIS SOFTWARE
INCLUDING ALL IMPLIED WARRANTIES OF MERCHANTABILITY AND FITNESS. IN NO EVENT SHALL THE AUTHOR BE LIABLE FOR
ANY SPECIAL, DIRECT, INDIRECT, OR CONSEQUENTIAL DAMAGES OR ANY DAMAGES WHATSOEVER RESULTING FROM LOSS OF
USE, DATA OR PROFITS, WHETHER IN AN ACTION OF CONTRACT, NEGLIGENCE OR OTHER TORTIOUS ACTION, ARISING OUT OF
OR IN CONNECTION WITH THE USE OR PERFORMANCE OF THIS SOFTWARE.`

interface PackageFile {
  name: string
  version: string
  license?: string
  author?: string | { name: string }
}

function npmPart(folder: string): Part {
  const { name, version, license, author } = packageFile(folder)
  const file = readdirSync(folder).find((entry) => /^licen[cs]e/i.test(entry))
  // Some packages state their licence in package.json alone.
  const who = typeof author === 'string' ? author : author?.name
  const stated = `Licence: ${license ?? 'not stated'}${who === undefined ? '' : `\nAuthor: ${who}`}`
  const licence = file === undefined ? stated : readFileSync(join(folder, file), 'utf8')
  return { name: `${name} ${version}`, licence }
}

function versionOf(folder: string): string {
  return packageFile(folder).version
}

function packageFile(folder: string): PackageFile {
  const path = join(folder, 'package.json')
  if (!existsSync(path)) throw new Error(`${path} is missing; run npm install`)
  return JSON.parse(readFileSync(path, 'utf8')) as PackageFile
}
