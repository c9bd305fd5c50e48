import { resolve } from 'node:path'
import * as v from 'valibot'
import { settle } from './camel.ts'
import { source, type MeterConfig } from './schemas.ts'

/** A source that hears telegrams at a meter's port. */
export type PortSource = Extract<MeterConfig['source'], { kind: 'p1' | 'sml' }>
/** A source that asks a meter for its registers. */
export type ModbusSource = Extract<MeterConfig['source'], { kind: 'modbus' }>
/** A meter at the other end of a wire. */
export type WiredSource = PortSource | ModbusSource

/**
 * The source that `keys` describe, everything else as it is without configuration; null when they
 * describe none. Relative paths start at the current folder.
 */
export function sourceFrom<Kind extends MeterConfig['source']['kind']>(keys: {
  kind: Kind
  [key: string]: string | number
}): Extract<MeterConfig['source'], { kind: Kind }> | null {
  const result = v.safeParse(source, keys)
  if (!result.success) return null
  return settle(result.output, resolve('.')) as Extract<MeterConfig['source'], { kind: Kind }>
}
