import { resolve } from 'node:path'
import { PathText } from './leaf.ts'

type CamelKey<K> = K extends `${infer Head}_${infer Tail}`
  ? `${Head}${Capitalize<CamelKey<Tail> & string>}`
  : K

/** The shape programs see: keys in camelCase, paths as absolute strings. */
export type Settled<T> = T extends PathText
  ? string
  : T extends readonly (infer Item)[]
    ? Settled<Item>[]
    : T extends object
      ? { [K in keyof T as CamelKey<K>]: Settled<T[K]> }
      : T

/** Turns what the schema yields into what programs use. */
export function settle<T>(value: T, folder: string): Settled<T> {
  return settleAny(value, folder) as Settled<T>
}

function settleAny(value: unknown, folder: string): unknown {
  if (value instanceof PathText) return value.prefix + resolve(folder, value.text)
  if (Array.isArray(value)) return value.map((item) => settleAny(item, folder))
  if (typeof value !== 'object' || value === null) return value
  const entries = Object.entries(value)
  return Object.fromEntries(entries.map(([key, item]) => [camel(key), settleAny(item, folder)]))
}

function camel(key: string): string {
  return key.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase())
}
