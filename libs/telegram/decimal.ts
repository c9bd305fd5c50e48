import type { Exact } from './quantity.ts'
import type { Shown } from './types.ts'

/** Units with their prefixes; another spelling is another unit. */
const units: Readonly<Record<string, readonly [unit: string, exponent: number]>> = {
  Wh: ['Wh', 0],
  kWh: ['Wh', 3],
  MWh: ['Wh', 6],
  W: ['W', 0],
  kW: ['W', 3],
  MW: ['W', 6],
  V: ['V', 0],
  kV: ['V', 3],
  A: ['A', 0],
  mA: ['A', -3],
  J: ['J', 0],
  MJ: ['J', 6],
  GJ: ['J', 9],
}

const DECIMAL = /^(-?)(\d{1,20})(?:\.(\d{1,20}))?$/

/** A decimal number as it is written, exactly; null when it is none (a comma, an exponent, nothing). */
export function parseDecimal(text: string): Exact | null {
  const match = DECIMAL.exec(text)
  if (match === null) return null
  const [, sign = '', digits = '', fraction = ''] = match
  return { mantissa: BigInt(sign + digits + fraction), exponent: -fraction.length }
}

/** A number in the unit written beside it (`kWh`), in the unit without its prefix. */
export function shownIn(code: string, { mantissa, exponent }: Exact, written: string): Shown {
  const [unit, prefix] = (Object.hasOwn(units, written) ? units[written] : undefined) ?? [
    written,
    0,
  ]
  return { code, mantissa, exponent: exponent + prefix, unit }
}
