import type * as v from 'valibot'
import { at, keysAt, kindsAt, notesAt, type TableSchema } from './schema-tree.ts'

/**
 * One line for each thing wrong: where, what was found, what is expected, how to write it.
 * These lines are logged: what somebody wrote where a secret stands, or into an address, is not in them.
 */
export function describe(
  schema: TableSchema,
  data: unknown,
  issues: readonly v.BaseIssue<unknown>[],
): string[] {
  const paths = issues.flatMap((issue) => withSiblings(schema, data, pathOf(issue)))
  const lines = paths.map((keys) => describeOne(schema, data, keys))
  return [...new Set(lines)]
}

/** valibot stops at the first key a table should not have; whoever mends the file wants all. */
function withSiblings(schema: TableSchema, data: unknown, keys: string[]): string[][] {
  const parent = keys.slice(0, -1)
  const known = keysAt(schema, parent, data)
  if (known === null || known.includes(keys.at(-1) ?? '')) return [keys]
  const unknown = Object.keys(at(data, parent) as object).filter((key) => !known.includes(key))
  return unknown.map((key) => [...parent, key])
}

function describeOne(schema: TableSchema, data: unknown, keys: readonly string[]): string {
  const where = keys.join('.')
  const parent = keys.slice(0, -1)
  const key = keys.at(-1) ?? ''
  const known = keysAt(schema, parent, data)
  if (known !== null && !known.includes(key)) return unknownKey(where, key, known)

  const found = at(data, keys)
  const notes = notesAt(schema, keys, data)
  const kinds = kindsAt(schema, parent, data)
  if (notes === null && kinds.length > 0) {
    const listed = kinds.map((kind) => `"${kind}"`).join(', ')
    return `${where}: found ${show(found)}, expected one of ${listed}; write ${key} = "${kinds[0]}"`
  }
  if (notes === null) return describeTable(schema, data, keys)
  const shown = notes.secret === true && found !== undefined ? 'something else' : show(found)
  return `${where}: found ${shown}, expected ${notes.expected}; write ${key} = ${notes.example}`
}

function describeTable(schema: TableSchema, data: unknown, keys: readonly string[]): string {
  const where = keys.join('.')
  const inside = keysAt(schema, keys, data)
  const found = show(at(data, keys))
  if (inside === null) return `${where}: found ${found}, ${whatIsMissing(schema, keys)}`
  return `${where}: found ${found}, expected a table; add a section [${where}] with ${inside.join(', ')}`
}

/** A table of several kinds has no keys of its own until one is named. */
function whatIsMissing(schema: TableSchema, keys: readonly string[]): string {
  const kinds = kindsAt(schema, keys, undefined)
  if (kinds.length === 0) return 'expected a list; write it in [brackets]'
  const listed = kinds.map((kind) => `"${kind}"`).join(', ')
  return `expected a table; add a section [${keys.join('.')}] with kind, one of ${listed}`
}

function unknownKey(where: string, key: string, known: readonly string[]): string {
  const close = known.find((candidate) => distance(candidate, key) <= 2)
  const fix =
    close === undefined ? `remove it, or use one of ${known.join(', ')}` : `write ${close}`
  return `${where}: found a key that does not exist, expected one this program knows; ${fix}`
}

function pathOf(issue: v.BaseIssue<unknown>): string[] {
  return (issue.path ?? []).map((item) => String(item.key))
}

function show(value: unknown): string {
  if (value === undefined) return 'nothing'
  if (typeof value === 'object' && value !== null)
    return Array.isArray(value) ? 'a list' : 'a table'
  const text = JSON.stringify(value).replaceAll(/\/\/[^/@]*@/g, '//…@')
  return text.length > 80 ? `${text.slice(0, 77)}…` : text
}

/** Letters to insert, remove or replace to get from one word to the other (Levenshtein). */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const replace = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min(replace, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1))
    }
    row = next
  }
  return row[b.length] ?? 0
}
