import { describe, expect, test } from 'vitest'
import { excerpts, makeExcerpt, readExcerpt, type ExcerptName } from '../support/excerpts.ts'
import { sharedPath } from '../support/shared.ts'

const names = Object.keys(excerpts) as ExcerptName[]
const published = names.flatMap((name) => {
  const path = sharedPath(excerpts[name].source)
  return path === null ? [] : [{ name, path }]
})

describe('the vectors of this repository', () => {
  test.each(names)('%s can be read', (name) => {
    expect(JSON.stringify(readExcerpt(name)).length).toBeGreaterThan(10_000)
  })

  test.skipIf(published.length === 0)(
    'are the published ones, case for case (needs the development data set)',
    () => {
      expect(published.map(({ name }) => name)).toEqual(names)
      for (const { name, path } of published) {
        expect(readExcerpt(name)).toEqual(makeExcerpt(name, path))
      }
    },
  )
})
