import type { Telegram } from '#telegram'

/** A P1 telegram as plain data. */
export interface P1Telegram extends Telegram {
  /** The line after the slash: maker, baud rate, type. */
  ident: string
  /** DSMR `42`, `50`, or e-MUCS `50217`; null before DSMR 4. */
  version: string | null
  /** Tariff in force, as the meter names it (`0001`). */
  tariff: string | null
  shortPowerFailures: number | null
  failureLog: PowerFailure[]
  channels: MbusChannel[]
}

export interface PowerFailure {
  /** When the power came back, in seconds since 1970; null when the meter did not know. */
  endS: number | null
  durationS: number
}

/** A meter for something else, read by the electricity meter over M-Bus. */
export interface MbusChannel {
  channel: number
  kind: 'electricity' | 'gas' | 'heat' | 'warm-water' | 'water' | 'cold' | 'other' | null
  meterId: string | null
  /** Of the value; null when it does not say. */
  timeS: number | null
  /** Whole litres, Wh or MJ. */
  value: number | null
  unit: 'l' | 'Wh' | 'MJ' | null
}

export interface P1Options {
  /** How far the meter's winter time is ahead of UTC; 60 is Central Europe. */
  winterMinutes: number
}
