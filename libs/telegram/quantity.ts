import { readingLimits } from '#reading'
import type { Shown } from './types.ts'

/** A number of `10^exponent` units; the sum of several stays exact. */
export interface Exact {
  mantissa: bigint
  exponent: number
}

/** A unit of ours: the exponent of one of it, how many are believable, and how a fraction ends. */
export interface Quantity {
  unit: string
  exponent: number
  limit: number
  fraction: 'floor' | 'nearest'
}

export const quantities = {
  /** Registers count what has passed: the part of a Wh that is not whole yet is not counted yet. */
  wh: { unit: 'Wh', exponent: 0, limit: readingLimits.registerWh, fraction: 'floor' },
  w: { unit: 'W', exponent: 0, limit: readingLimits.powerW, fraction: 'nearest' },
  dv: { unit: 'V', exponent: -1, limit: readingLimits.voltageDv, fraction: 'nearest' },
  ma: { unit: 'A', exponent: -3, limit: readingLimits.currentMa, fraction: 'nearest' },
} as const satisfies Record<string, Quantity>

/** Beyond this no meter scales, and 10^n would only cost time. */
const MAX_EXPONENT = 20

/** Null unless `shown` is in exactly the unit expected. A unit is never guessed. */
export function exactly(shown: Shown, { unit }: Quantity): Exact | null {
  return shown.unit === unit ? shown : null
}

export function sum(parts: readonly Exact[]): Exact {
  const exponent = Math.min(0, ...parts.map((part) => part.exponent))
  return { mantissa: parts.reduce((total, part) => total + at(part, exponent), 0n), exponent }
}

export function negated({ mantissa, exponent }: Exact): Exact {
  return { mantissa: -mantissa, exponent }
}

/** In whole units of `quantity`; null when no meter can mean it. */
export function whole(value: Exact, quantity: Quantity): number | null {
  if (Math.abs(value.exponent) > MAX_EXPONENT) return null
  const shift = value.exponent - quantity.exponent
  const scale = 10n ** BigInt(Math.abs(shift))
  const result =
    shift >= 0
      ? value.mantissa * scale
      : divided(value.mantissa, scale, quantity.fraction === 'nearest' ? scale / 2n : 0n)
  const limit = BigInt(quantity.limit)
  return result > limit || result < -limit ? null : Number(result)
}

function at({ mantissa, exponent }: Exact, target: number): bigint {
  return mantissa * 10n ** BigInt(exponent - target)
}

/** Half of a unit goes away from zero, so that import and export of one power are one number. */
function divided(value: bigint, scale: bigint, half: bigint): bigint {
  const size = value < 0n ? -value : value
  const result = (size + half) / scale
  return value < 0n ? -result : result
}
