import type { CodedError } from '#errors'

/** One value as a meter sent it: `mantissa × 10^exponent unit`, exactly. */
export interface Shown {
  /** OBIS code `A-B:C.D.E`; a sixth group only where it is not 255 (`*1` is a value of the past). */
  code: string
  mantissa: bigint
  exponent: number
  /** `Wh`, `W`, `V`, `A`, without a prefix, or whatever else the meter says; '' for none. */
  unit: string
}

/** Something in a telegram that was not read, and why. */
export interface Unread {
  /** OBIS code, or the beginning of what stands in its place. */
  what: string
  why: string
}

/** A value of each phase L1 to L3; null where the meter shows none. */
export type Phases = [number | null, number | null, number | null]

/** The quantities of one telegram, all integers; null is "not shown". */
export interface Values {
  /** Cumulative registers in whole Wh: the meter's total, else the sum of its tariffs. */
  importWh: number | null
  exportWh: number | null
  /** Wh by tariff number. */
  importByTariffWh: Record<number, number>
  exportByTariffWh: Record<number, number>
  /** Active power; positive is import. */
  powerW: number | null
  phasePowerW: Phases
  /** Tenths of a volt. */
  voltageDv: Phases
  currentMa: Phases
}

/** What a telegram of any format says about the electricity meter that sent it. */
export interface Telegram extends Values {
  /** Number of the device, by which a replaced one shows; null when it does not say. */
  meterId: string | null
  /** Seconds since 1970 by the meter's clock; null when it tells none. */
  timeS: number | null
  /** How often the power was off for long; null when it does not count. */
  powerFailures: number | null
  /** A checksum vouches for it. Without one only the form of each line could be checked. */
  checked: boolean
  /** Every OBIS code in it, in order. */
  codes: string[]
  unread: Unread[]
}

/** Bytes of one telegram cut out of a stream, or what was there instead of one. */
export type Frame = { bytes: Uint8Array } | { lost: CodedError }
