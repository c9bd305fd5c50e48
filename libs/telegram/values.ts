import { exactly, negated, quantities, sum, whole, type Exact } from './quantity.ts'
import type { Phases, Shown, Unread, Values } from './types.ts'

/** IEC 62056-61: C is the quantity (1 import, 2 export, 16 net; +20 a phase), D 8 a register, 7 now. */
const known: Readonly<Record<string, keyof typeof quantities>> = {
  ...named('wh', tariffCodes(1), tariffCodes(2)),
  ...named('w', ['1-0:1.7.0', '1-0:2.7.0', '1-0:16.7.0']),
  ...named('w', phaseCodes(21), phaseCodes(22), phaseCodes(36)),
  ...named('dv', phaseCodes(32)),
  ...named('ma', phaseCodes(31)),
}

/** What became of the values of one telegram. */
export interface Collected {
  values: Values
  unread: Unread[]
}

/** True for a code `collect` knows. */
export function isValueCode(code: string): boolean {
  return Object.hasOwn(known, code)
}

/**
 * The electrical quantities of a telegram. What is not understood (an unknown code, another unit,
 * a value no meter can mean) is named in `unread` and nothing else is made of it: a register one
 * tariff of which could not be read is null, never a smaller sum.
 */
export function collect(shown: readonly Shown[]): Collected {
  const read = new Map<string, Exact>()
  const unread = new Map<string, string>()
  for (const one of shown) {
    const why = unread.get(one.code) ?? judge(one, read)
    if (why === null) continue
    unread.set(one.code, why)
    read.delete(one.code)
  }
  return {
    values: valuesOf(read, new Set(unread.keys())),
    unread: [...unread].map(([what, why]) => ({ what, why })),
  }
}

/** Null when it was taken, else why not. */
function judge(shown: Shown, read: Map<string, Exact>): string | null {
  const kind = isValueCode(shown.code) ? known[shown.code] : undefined
  if (kind === undefined) return 'not known here'
  const quantity = quantities[kind]
  const exact = exactly(shown, quantity)
  if (exact === null) {
    return `its unit is ${shown.unit === '' ? 'missing' : JSON.stringify(shown.unit)}, not ${quantity.unit}`
  }
  if (whole(exact, quantity) === null) return 'out of range'
  if ((kind === 'wh' || kind === 'dv') && exact.mantissa < 0n) return 'below zero'
  if (read.has(shown.code)) return 'there twice'
  read.set(shown.code, exact)
  return null
}

function valuesOf(read: ReadonlyMap<string, Exact>, unread: ReadonlySet<string>): Values {
  const powers = phases((n) => difference(read, unread, 21 + 20 * n, 22 + 20 * n, 36 + 20 * n))
  return {
    importWh: register(read, unread, 1),
    exportWh: register(read, unread, 2),
    importByTariffWh: tariffs(read, 1),
    exportByTariffWh: tariffs(read, 2),
    powerW: integer(difference(read, unread, 1, 2, 16) ?? allPhases(powers, unread), 'w'),
    phasePowerW: mapPhases(powers, (power) => integer(power, 'w')),
    voltageDv: mapPhases(
      phases((n) => read.get(`1-0:${32 + 20 * n}.7.0`) ?? null),
      (value) => integer(value, 'dv'),
    ),
    // Where a current has a sign it is that of the power, which has its own.
    currentMa: mapPhases(
      phases((n) => read.get(`1-0:${31 + 20 * n}.7.0`) ?? null),
      (value) => absolute(integer(value, 'ma')),
    ),
  }
}

/** The meter's total, else the sum of all its tariffs. */
function register(
  read: ReadonlyMap<string, Exact>,
  unread: ReadonlySet<string>,
  c: 1 | 2,
): number | null {
  const [total = '', ...codes] = tariffCodes(c)
  const shown = read.get(total)
  if (shown !== undefined) return integer(shown, 'wh')
  if (unread.has(total) || codes.some((code) => unread.has(code))) return null
  const parts = codes.map((code) => read.get(code)).filter((part) => part !== undefined)
  return parts.length === 0 ? null : integer(sum(parts), 'wh')
}

function tariffs(read: ReadonlyMap<string, Exact>, c: 1 | 2): Record<number, number> {
  const found: Record<number, number> = {}
  for (const [tariff, code] of tariffCodes(c).entries()) {
    const value = integer(read.get(code) ?? null, 'wh')
    if (tariff > 0 && value !== null) found[tariff] = value
  }
  return found
}

/** Import less export as the meter shows them, or its net power; null when one cannot be read. */
function difference(
  read: ReadonlyMap<string, Exact>,
  unread: ReadonlySet<string>,
  into: number,
  out: number,
  net: number,
): Exact | null {
  const [inCode, outCode, netCode] = [`1-0:${into}.7.0`, `1-0:${out}.7.0`, `1-0:${net}.7.0`]
  const direct = read.get(netCode)
  if (direct !== undefined) return direct
  const imported = read.get(inCode)
  if (imported === undefined || unread.has(outCode)) return null
  const exported = read.get(outCode)
  return exported === undefined ? imported : sum([imported, negated(exported)])
}

const phasePowerCodes = [21, 22, 36].flatMap(phaseCodes)

/** A meter with one phase shows one, one with three shows three; null when one could not be read. */
function allPhases(powers: readonly (Exact | null)[], unread: ReadonlySet<string>): Exact | null {
  const [first, second, third] = powers
  if (first == null || (second == null) !== (third == null)) return null
  if (phasePowerCodes.some((code) => unread.has(code))) return null
  return sum([first, second, third].filter((power) => power != null))
}

function integer(value: Exact | null, kind: keyof typeof quantities): number | null {
  return value === null ? null : whole(value, quantities[kind])
}

function absolute(value: number | null): number | null {
  return value === null ? null : Math.abs(value)
}

function phases<T>(of: (n: 0 | 1 | 2) => T): [T, T, T] {
  return [of(0), of(1), of(2)]
}

function mapPhases<T>([a, b, c]: [T, T, T], of: (value: T) => number | null): Phases {
  return [of(a), of(b), of(c)]
}

/** The total first, then tariffs 1 to 9. */
function tariffCodes(c: number): string[] {
  return Array.from({ length: 10 }, (_, tariff) => `1-0:${c}.8.${tariff}`)
}

function phaseCodes(c: number): string[] {
  return phases((n) => `1-0:${c + 20 * n}.7.0`)
}

function named(
  kind: keyof typeof quantities,
  ...codes: string[][]
): Record<string, keyof typeof quantities> {
  return Object.fromEntries(codes.flat().map((code) => [code, kind]))
}
