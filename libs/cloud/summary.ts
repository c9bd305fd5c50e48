import { CodedError } from '#errors'
import type { Summary } from '#messages'
import { lastDateS, readingLimits } from '#reading'
import { defaultMaxStepWh, mergeSums } from '#window'
import type { Totals } from './store.ts'

/** Far above any fog node. */
const MAX_READINGS = 2 ** 32

/**
 * Refuses a summary no set of readings could have produced; #messages has checked its counts on
 * arrival. The sums cannot be checked against readings the cloud never sees, but a fog that
 * miscounts should not go unnoticed either. Throws `summary/impossible`, naming the field.
 */
export function checkSummary(summary: Summary): void {
  const { endS, revision, readings, importWh, exportWh } = summary
  demand('endS', endS <= lastDateS)
  demand('revision', revision < MAX_READINGS)
  demand('readings', readings <= MAX_READINGS)
  checkSpread('power', readings, summary.powerSumW, summary.powerMinW, summary.powerMaxW)
  demand('powerMinW', summary.powerMinW >= -readingLimits.powerW)
  demand('powerMaxW', summary.powerMaxW <= readingLimits.powerW)
  const { voltageSumDv, voltageCount, voltageMinDv, voltageMaxDv } = summary
  checkSpread('voltage', voltageCount, voltageSumDv, voltageMinDv ?? 0, voltageMaxDv ?? 0)
  demand('voltageMaxDv', (voltageMaxDv ?? 0) <= readingLimits.voltageDv)
  // What a fog node counts for one reading at most; anything tighter would let one meter's
  // nonsense have its honest neighbours' window refused.
  demand('importWh', importWh <= defaultMaxStepWh * readings)
  demand('exportWh', exportWh <= defaultMaxStepWh * readings)
}

/** min ≤ sum / count ≤ max, in integers. */
function checkSpread(name: string, count: number, sum: number, min: number, max: number): void {
  const n = BigInt(count)
  demand(name, BigInt(min) * n <= BigInt(sum) && BigInt(sum) <= BigInt(max) * n)
}

function demand(field: string, holds: boolean): void {
  if (!holds)
    throw new CodedError('summary/impossible', `${field} contradicts the rest of the summary`)
}

/**
 * A window of which an earlier store of the same fog sent `base`: both count, so what is stored is
 * their sum, under a revision above both. A meter in both parts counts once, whichever has more.
 */
export function mergedWith(base: Summary, later: Summary): Summary {
  const revision = base.revision + 1 + later.revision
  if (later.readings === 0) return { ...base, revision }
  if (base.readings === 0) return { ...later, revision }
  const merged: Summary = {
    startS: base.startS,
    endS: Math.max(base.endS, later.endS),
    revision,
    meters: Math.max(base.meters, later.meters),
    ...mergeSums(base, later),
    quality: {
      estimated: base.quality.estimated + later.quality.estimated,
      unknownTime: base.quality.unknownTime + later.quality.unknownTime,
      substitute: base.quality.substitute + later.quality.substitute,
    },
  }
  const received = [base.firstReceivedS, later.firstReceivedS].filter((s) => s !== undefined)
  return received.length === 0 ? merged : { ...merged, firstReceivedS: Math.min(...received) }
}

/** Every field equal: the same summary sent twice. */
export function sameSummary(a: Summary, b: Summary): boolean {
  return summaryValues(a).every((value, index) => value === summaryValues(b)[index])
}

function summaryValues(s: Summary): (number | null | undefined)[] {
  const power = [s.powerSumW, s.powerMinW, s.powerMaxW]
  const voltage = [s.voltageSumDv, s.voltageCount, s.voltageMinDv, s.voltageMaxDv]
  const quality = [s.quality.estimated, s.quality.unknownTime, s.quality.substitute]
  const window = [s.startS, s.endS, s.revision, s.meters, s.readings, s.firstReceivedS ?? null]
  return [...window, ...power, ...voltage, s.importWh, s.exportWh, ...quality]
}

/** The totals after `summary` took the place of `replaced` (null: a new window). */
export function totalsWith(totals: Totals, summary: Summary, replaced: Summary | null): Totals {
  const move = (field: Exclude<keyof Totals, 'summaries'>): bigint =>
    totals[field] + BigInt(summary[field]) - BigInt(replaced?.[field] ?? 0)
  return {
    summaries: totals.summaries + (replaced ? 0 : 1),
    readings: move('readings'),
    powerSumW: move('powerSumW'),
    voltageSumDv: move('voltageSumDv'),
    voltageCount: move('voltageCount'),
    importWh: move('importWh'),
    exportWh: move('exportWh'),
  }
}
