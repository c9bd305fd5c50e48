/**
 * Makes the packed files of data/ anew from the development data set:
 *
 *   node test/vectors/make-excerpts.ts
 *
 * Running it again gives the same content; excerpts.test.ts compares.
 */
import { writeFileSync } from 'node:fs'
import { gzipSync } from 'node:zlib'
import { excerptFile, excerpts, makeExcerpt, type ExcerptName } from '../support/excerpts.ts'
import { sharedPath } from '../support/shared.ts'

for (const name of Object.keys(excerpts) as ExcerptName[]) {
  const path = sharedPath(excerpts[name].source)
  if (path === null) {
    console.error(`${excerpts[name].source}: not beside this checkout, ${name} stays as it is`)
    process.exitCode = 1
    continue
  }
  const text = JSON.stringify(makeExcerpt(name, path))
  const packed = gzipSync(text, { level: 9, memLevel: 9 })
  writeFileSync(excerptFile(name), packed)
  console.log(`${name}: ${packed.length} bytes`)
}
