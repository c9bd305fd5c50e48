/**
 * Checks CBOR values against a CDDL file (RFC 8610), on the syntax tree of the `cddl` package. Only
 * what our files use is understood: arrays with optional and repeated members, groups inside
 * arrays, choices, ranges, literals, int/uint/bstr/tstr/bool/null, .size and .regexp, and maps whose keys
 * are all required integers, one a line.
 * Anything else throws, so that a rule can never pass by not being understood.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  parse,
  type Array as CddlArray,
  type Assignment,
  type Property,
  type PropertyReference,
  type PropertyType,
} from 'cddl'
import type { CborValue } from '#cbor'

/** Whether a value is an instance of the rule of that name. */
export type Validator = (rule: string, value: CborValue) => boolean

/** Reads the CDDL file at `path`. */
export function cddlValidator(path: string): Validator {
  const rules = new Map(parseFile(path).map((rule) => [rule.Name, rule]))
  return (rule, value) => matchesRule(rules, rule, value)
}

/** The names of all rules of a file. */
export function cddlRules(path: string): string[] {
  return parseFile(path).map((rule) => rule.Name)
}

/** The package cannot read integer keys (`-1 => int`): they go in as names, `key-1: int`. */
function parseFile(path: string): Assignment[] {
  const text = readFileSync(path, 'utf8').replace(/^(\s+)(-?\d+) =>/gm, `$1${KEY}$2:`)
  const folder = mkdtempSync(join(tmpdir(), 'cddl-'))
  try {
    writeFileSync(join(folder, 'named.cddl'), text)
    return parse(join(folder, 'named.cddl'))
  } finally {
    rmSync(folder, { recursive: true })
  }
}

const KEY = 'key'

type Rules = ReadonlyMap<string, Assignment>

/** A node of the syntax tree, as far as we look into it. */
interface Node {
  Type: string
  Value?: unknown
  Properties?: unknown[]
  Operator?: { Type: string; Value: Node }
}

function ruleOf(rules: Rules, name: string): Assignment {
  const rule = rules.get(name)
  if (rule === undefined) throw new Error(`CDDL: there is no rule ${name}`)
  return rule
}

function matchesRule(rules: Rules, name: string, value: CborValue): boolean {
  const rule = ruleOf(rules, name)
  if (rule.Type === 'array') return matchesArray(rules, rule, value)
  if (rule.Type === 'variable') return matchesAny(rules, rule.PropertyType, value)
  const members = membersOf(rule.Properties)
  if (members.every(({ Name }) => Name.startsWith(KEY))) return matchesMap(rules, members, value)
  throw new Error(`CDDL: group ${name} stands where a type is needed`)
}

function matchesMap(rules: Rules, members: Property[], value: CborValue): boolean {
  if (!(value instanceof Map) || value.size !== members.length) return false
  return members.every(({ Name, Type }) => {
    const held = value.get(Number(Name.slice(KEY.length)))
    return held !== undefined && matchesAny(rules, Type, held)
  })
}

function matchesAny(rules: Rules, types: PropertyType | PropertyType[], value: CborValue): boolean {
  const choices = Array.isArray(types) ? types : [types]
  return choices.some((type) => matchesType(rules, type, value))
}

function matchesType(rules: Rules, type: PropertyType, value: CborValue): boolean {
  if (typeof type === 'string') return matchesNative(type, value)
  // The package's types name fewer shapes than its parser makes; look at the shape itself.
  const node = type as unknown as Node
  switch (node.Type) {
    case 'array':
      return matchesArray(rules, type as CddlArray, value)
    case 'group':
      return matchesGroupReference(rules, node, value)
    case 'literal':
      return value === node.Value
    case 'range':
      return inRange(node, value)
    case 'bstr':
    case 'tstr':
      return matchesNative(node.Type, value) && satisfies(node, value)
    default:
      throw unknown(type)
  }
}

function matchesGroupReference(rules: Rules, node: Node, value: CborValue): boolean {
  if (typeof node.Value === 'string') return matchesRule(rules, node.Value, value)
  // `{}` arrives as an anonymous group without members.
  if (node.Properties?.length === 0) return value instanceof Map && value.size === 0
  throw unknown(node)
}

function matchesNative(name: string, value: CborValue): boolean {
  const integer = typeof value === 'bigint' || Number.isInteger(value)
  switch (name) {
    case 'int':
      return integer
    case 'uint':
      return integer && (value as number | bigint) >= 0
    case 'bstr':
      return value instanceof Uint8Array
    case 'tstr':
      return typeof value === 'string'
    case 'null':
      return value === null
    case 'bool':
      return typeof value === 'boolean'
    default:
      throw new Error(`CDDL: ${name} is not understood`)
  }
}

/** `.size` (bytes, RFC 8610 §3.8.1) and `.regexp` (the whole string, §3.8.3). */
function satisfies({ Operator: operator }: Node, value: CborValue): boolean {
  if (operator === undefined) return true
  const operand = operator.Value
  if (operator.Type === 'size') {
    const bytes = typeof value === 'string' ? Buffer.byteLength(value) : (value as Buffer).length
    return operand.Type === 'range' ? inRange(operand, bytes) : bytes === operand.Value
  }
  if (operator.Type === 'regexp' && typeof operand.Value === 'string') {
    return new RegExp(`^(?:${operand.Value})$`, 'u').test(value as string)
  }
  throw new Error(`CDDL: .${operator.Type} is not understood`)
}

function inRange(node: Node, value: CborValue): boolean {
  const range = node.Value as { Min: Node; Max: Node }
  if (typeof value !== 'number' || !Number.isInteger(value)) return false
  return value >= Number(range.Min.Value) && value <= Number(range.Max.Value)
}

function matchesArray(rules: Rules, array: CddlArray, value: CborValue): boolean {
  if (!Array.isArray(value)) return false
  for (const end of sequence(rules, membersOf(array.Values), value, 0)) {
    if (end === value.length) return true
  }
  return false
}

/** Every index at which the elements from `at` on can have satisfied all members. */
function* sequence(
  rules: Rules,
  members: Property[],
  values: CborValue[],
  at: number,
): Generator<number> {
  const [member, ...rest] = members
  if (member === undefined) yield at
  else {
    for (const end of repeated(rules, member, values, at, 0)) {
      yield* sequence(rules, rest, values, end)
    }
  }
}

/** Tries the longest repetition first and then shorter ones. */
function* repeated(
  rules: Rules,
  member: Property,
  values: CborValue[],
  at: number,
  count: number,
): Generator<number> {
  const { n, m } = member.Occurrence
  // The parser writes "any number" as infinity.
  if (count < m) {
    for (const end of once(rules, member, values, at)) {
      if (end > at) yield* repeated(rules, member, values, end, count + 1)
    }
  }
  if (count >= n) yield at
}

function* once(rules: Rules, member: Property, values: CborValue[], at: number): Generator<number> {
  const inlined = groupOf(rules, member)
  const value = values[at]
  if (inlined !== null) yield* sequence(rules, inlined, values, at)
  else if (value !== undefined && matchesAny(rules, member.Type, value)) yield at + 1
}

/** The members of a group rule used inside an array, or null when the member is a type. */
function groupOf(rules: Rules, member: Property): Property[] | null {
  const type: unknown = Array.isArray(member.Type) ? member.Type[0] : member.Type
  const name = (type as Partial<PropertyReference>).Value
  if (typeof name !== 'string' || (type as PropertyReference).Type !== 'group') return null
  const rule = ruleOf(rules, name)
  return rule.Type === 'group' ? membersOf(rule.Properties) : null
}

function membersOf(list: (Property | Property[])[]): Property[] {
  return list.map((member) => {
    if (Array.isArray(member)) throw new Error('CDDL: group choices are not understood')
    return member
  })
}

function unknown(type: unknown): Error {
  return new Error(`CDDL: not understood: ${JSON.stringify(type)}`)
}
