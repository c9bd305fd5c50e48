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
  if (value instanceof PathText) return value.prefix + settlePath(value.text, folder)
  if (Array.isArray(value)) return value.map((item) => settleAny(item, folder))
  if (typeof value !== 'object' || value === null) return value
  const entries = Object.entries(value)
  return Object.fromEntries(entries.map(([key, item]) => [camel(key), settleAny(item, folder)]))
}

/** `credential:NAME` is what systemd hands to this program under that name, systemd.exec(5). */
function settlePath(text: string, folder: string): string {
  if (!text.startsWith('credential:')) return resolve(folder, text)
  const handedOver = process.env['CREDENTIALS_DIRECTORY']
  // Kept as it stands where nothing was handed over, so that a file can be checked anywhere.
  return handedOver === undefined ? text : text.replace('credential:', `${handedOver}/`)
}

function camel(key: string): string {
  return key.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase())
}
