import { resolve } from 'node:path'
import * as v from 'valibot'
import { settle } from './camel.ts'
import { portSource, type MeterConfig } from './schemas.ts'

/** A source that reads telegrams from a meter's port. */
export type PortSource = Extract<MeterConfig['source'], { kind: 'p1' | 'sml' }>

/**
 * The source of kind `kind` at `port`, everything else as it is without configuration; null when
 * `port` is none. Relative paths start at the current folder.
 */
export function sourceAt(kind: PortSource['kind'], port: string): PortSource | null {
  const result = v.safeParse(portSource, { kind, port })
  return result.success ? settle(result.output, resolve('.')) : null
}
