import type { Summary } from '#messages'
import { status, timeQuality, timeQualityOf } from '#reading'
import { addMeter, countMeters, mergeMeters, type MeterSet } from './meter-set.ts'

/** A reading with the energy of the interval that ends at it (see `energyOf`). */
export interface EnergyReading {
  timeS: number
  powerW: number
  voltageDv: number | null
  /** Energy of the interval, not the register. */
  importWh: number
  exportWh: number
  status: number
}

/** The totals of one window, all exact integers. */
export interface Totals {
  meters: MeterSet
  readings: number
  powerSumW: number
  powerMinW: number
  powerMaxW: number
  voltageSumDv: number
  voltageCount: number
  voltageMinDv: number | null
  voltageMaxDv: number | null
  importWh: number
  exportWh: number
  estimated: number
  unknownTime: number
  substitute: number
  firstReceivedS: number
}

/**
 * Bounds that keep every sum below 2^53: 2^22 readings of at most 10^9 W and 10^9 Wh each are
 * 4.2 · 10^15. Readings beyond them are refused, never rounded.
 */
export const totalsLimits = { readings: 2 ** 22, energyWh: 1_000_000_000 } as const

export function emptyTotals(): Totals {
  return {
    meters: new Uint8Array(0),
    readings: 0,
    powerSumW: 0,
    powerMinW: Number.POSITIVE_INFINITY,
    powerMaxW: Number.NEGATIVE_INFINITY,
    voltageSumDv: 0,
    voltageCount: 0,
    voltageMinDv: null,
    voltageMaxDv: null,
    importWh: 0,
    exportWh: 0,
    estimated: 0,
    unknownTime: 0,
    substitute: 0,
    firstReceivedS: Number.POSITIVE_INFINITY,
  }
}

/** Whether `reading` can be added without endangering exactness. */
export function fits(totals: Totals, reading: EnergyReading): boolean {
  return (
    totals.readings < totalsLimits.readings &&
    reading.importWh <= totalsLimits.energyWh &&
    reading.exportWh <= totalsLimits.energyWh
  )
}

/** Whether two windows can become one without endangering exactness. */
export function fitTogether(a: Totals, b: Totals): boolean {
  return a.readings + b.readings <= totalsLimits.readings
}

/** Adds one reading of the meter with index `meter`, in place: this runs once per reading. */
export function addReading(
  totals: Totals,
  meter: number,
  reading: EnergyReading,
  receivedS: number,
): void {
  const { powerW, voltageDv } = reading
  totals.meters = addMeter(totals.meters, meter)
  totals.readings += 1
  totals.powerSumW += powerW
  if (powerW < totals.powerMinW) totals.powerMinW = powerW
  if (powerW > totals.powerMaxW) totals.powerMaxW = powerW
  if (voltageDv !== null) addVoltage(totals, voltageDv)
  totals.importWh += reading.importWh
  totals.exportWh += reading.exportWh
  const quality = timeQualityOf(reading.status)
  if (quality === timeQuality.estimated) totals.estimated += 1
  if (quality === timeQuality.unknown) totals.unknownTime += 1
  if ((reading.status & status.substitute) !== 0) totals.substitute += 1
  if (receivedS < totals.firstReceivedS) totals.firstReceivedS = receivedS
}

function addVoltage(totals: Totals, voltageDv: number): void {
  totals.voltageSumDv += voltageDv
  totals.voltageCount += 1
  totals.voltageMinDv = Math.min(totals.voltageMinDv ?? voltageDv, voltageDv)
  totals.voltageMaxDv = Math.max(totals.voltageMaxDv ?? voltageDv, voltageDv)
}

/**
 * Takes back what `addReading` added. The extremes stay: they were measured, and what they would be
 * without this reading is only known from all the others.
 */
export function removeReading(totals: Totals, reading: EnergyReading): void {
  totals.readings -= 1
  totals.powerSumW -= reading.powerW
  if (reading.voltageDv !== null) removeVoltage(totals, reading.voltageDv)
  totals.importWh -= reading.importWh
  totals.exportWh -= reading.exportWh
  const quality = timeQualityOf(reading.status)
  if (quality === timeQuality.estimated) totals.estimated -= 1
  if (quality === timeQuality.unknown) totals.unknownTime -= 1
  if ((reading.status & status.substitute) !== 0) totals.substitute -= 1
  if (totals.readings === 0) Object.assign(totals, emptyTotals())
}

function removeVoltage(totals: Totals, voltageDv: number): void {
  totals.voltageSumDv -= voltageDv
  totals.voltageCount -= 1
  if (totals.voltageCount > 0) return
  totals.voltageMinDv = null
  totals.voltageMaxDv = null
}

/** What adds up the same way in totals, in summaries, and wherever else two windows become one. */
type WindowSums = Pick<
  Totals,
  | 'readings'
  | 'powerSumW'
  | 'powerMinW'
  | 'powerMaxW'
  | 'voltageSumDv'
  | 'voltageCount'
  | 'voltageMinDv'
  | 'voltageMaxDv'
  | 'importWh'
  | 'exportWh'
>

/** The sums and extremes of both, each of which has readings. */
export function mergeSums(a: WindowSums, b: WindowSums): WindowSums {
  return {
    readings: a.readings + b.readings,
    powerSumW: a.powerSumW + b.powerSumW,
    powerMinW: Math.min(a.powerMinW, b.powerMinW),
    powerMaxW: Math.max(a.powerMaxW, b.powerMaxW),
    voltageSumDv: a.voltageSumDv + b.voltageSumDv,
    voltageCount: a.voltageCount + b.voltageCount,
    voltageMinDv: pick(Math.min, a.voltageMinDv, b.voltageMinDv),
    voltageMaxDv: pick(Math.max, a.voltageMaxDv, b.voltageMaxDv),
    importWh: a.importWh + b.importWh,
    exportWh: a.exportWh + b.exportWh,
  }
}

/** The totals of both windows, which must `fitTogether`; a meter in both counts once. */
export function mergeTotals(a: Totals, b: Totals): Totals {
  return {
    ...mergeSums(a, b),
    meters: mergeMeters(a.meters, b.meters),
    estimated: a.estimated + b.estimated,
    unknownTime: a.unknownTime + b.unknownTime,
    substitute: a.substitute + b.substitute,
    firstReceivedS: Math.min(a.firstReceivedS, b.firstReceivedS),
  }
}

function pick(
  choose: (a: number, b: number) => number,
  a: number | null,
  b: number | null,
): number | null {
  if (a === null) return b
  return b === null ? a : choose(a, b)
}

/** The summary of totals; those without a reading give an empty one. */
export function summaryOf(totals: Totals, startS: number, endS: number, revision: number): Summary {
  const empty = totals.readings === 0
  return {
    startS,
    endS,
    revision,
    meters: Math.min(countMeters(totals.meters), totals.readings),
    readings: totals.readings,
    powerSumW: totals.powerSumW,
    powerMinW: empty ? 0 : totals.powerMinW,
    powerMaxW: empty ? 0 : totals.powerMaxW,
    voltageSumDv: totals.voltageSumDv,
    voltageCount: totals.voltageCount,
    voltageMinDv: totals.voltageMinDv,
    voltageMaxDv: totals.voltageMaxDv,
    importWh: totals.importWh,
    exportWh: totals.exportWh,
    quality: {
      estimated: totals.estimated,
      unknownTime: totals.unknownTime,
      substitute: totals.substitute,
    },
    ...(empty ? {} : { firstReceivedS: totals.firstReceivedS }),
  }
}
