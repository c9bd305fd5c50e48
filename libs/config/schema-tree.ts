import * as v from 'valibot'
import type { LeafNotes } from './leaf.ts'

/** What the walks below need of a valibot schema; a schema is plain data. */
interface Node {
  type: string
  wrapped?: Node
  pipe?: readonly Node[]
  entries?: Record<string, Node>
  options?: readonly unknown[]
  key?: string
  item?: Node
  literal?: unknown
}

/** Any schema whose top is a table. */
export type TableSchema = v.GenericSchema<unknown, object>

/** Words and example of the value at a key path, or null when the path is not a leaf. */
export function notesAt(
  schema: TableSchema,
  keys: readonly string[],
  data: unknown,
): LeafNotes | null {
  const node = nodeAt(schema, keys, data)
  if (node === null) return null
  const found = v.getMetadata(unwrapped(node) as unknown as v.GenericSchema)
  return typeof found['expected'] === 'string' ? (found as unknown as LeafNotes) : null
}

/** The keys a table may hold, or null when the path does not lead to a table. */
export function keysAt(
  schema: TableSchema,
  keys: readonly string[],
  data: unknown,
): string[] | null {
  const node = nodeAt(schema, keys, data)
  const entries = node === null ? undefined : chosen(bare(node), at(data, keys))?.entries
  return entries === undefined ? null : Object.keys(entries)
}

/** Every key path of a schema, dotted; members of lists and of alternatives included. */
export function allKeys(schema: TableSchema): string[] {
  return [...new Set(keysUnder(schema))]
}

/** Kinds a variant can be told to be, e.g. `sim`, `csv`. */
export function kindsAt(schema: TableSchema, keys: readonly string[], data: unknown): string[] {
  const node = nodeAt(schema, keys, data)
  if (node === null || bare(node).type !== 'variant') return []
  const { options, key } = bare(node)
  return (options as Node[]).map((option) => String(option.entries?.[key ?? '']?.literal))
}

function keysUnder(schema: Node): string[] {
  const node = bare(schema)
  if (node.item !== undefined) return keysUnder(node.item)
  if (node.type === 'variant') return (node.options as Node[]).flatMap(keysUnder)
  return Object.entries(node.entries ?? {}).flatMap(([key, child]) => {
    const below = keysUnder(child)
    return below.length === 0 ? [key] : below.map((rest) => `${key}.${rest}`)
  })
}

function nodeAt(schema: Node, keys: readonly string[], data: unknown): Node | null {
  const [key, ...rest] = keys
  if (key === undefined) return schema
  const table = chosen(bare(schema), data)
  const child = table?.item ?? table?.entries?.[key]
  return child === undefined ? null : nodeAt(child, rest, at(data, [key]))
}

/** Of a variant, the alternative that the data names. */
function chosen(node: Node, data: unknown): Node | null {
  if (node.type !== 'variant') return node
  const key = node.key ?? ''
  const kind = at(data, [key])
  const fits = (option: Node) => option.entries?.[key]?.literal === kind
  return (node.options as Node[]).find(fits) ?? null
}

function unwrapped(node: Node): Node {
  return node.wrapped === undefined ? node : unwrapped(node.wrapped)
}

/** Without `optional` and `pipe` around it. */
function bare(node: Node): Node {
  const inner = unwrapped(node)
  const first = inner.pipe?.[0]
  return first === undefined || first === inner ? inner : bare(first)
}

/** The value at a key path of parsed data, or undefined. */
export function at(data: unknown, keys: readonly string[]): unknown {
  let value = data
  for (const key of keys) {
    if (typeof value !== 'object' || value === null) return undefined
    value = Object.hasOwn(value, key) ? (value as Record<string, unknown>)[key] : undefined
  }
  return value
}
