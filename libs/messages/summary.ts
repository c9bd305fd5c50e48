import type { CborValue } from '#cbor'
import { encodeTypedInts, fieldsOf, integer, integerOrNull, malformed } from './fields.ts'

/**
 * One revision of one aggregation window of one fog node. It covers readings stamped in
 * (startS, endS] and holds sums, not means, so everything stays an exact integer and two summaries
 * can be added. A later revision of the same window carries full totals and replaces the earlier.
 */
export interface Summary {
  startS: number
  endS: number
  /** 0 for the first issue; only the highest revision of a `startS` counts. */
  revision: number
  /**
   * Distinct meters. 0, as everything below, in a later revision of a window of which nothing is
   * left: all of it was withdrawn.
   */
  meters: number
  readings: number
  powerSumW: number
  powerMinW: number
  powerMaxW: number
  /** Over the `voltageCount` readings that carry a voltage; min and max are null when none does. */
  voltageSumDv: number
  voltageCount: number
  voltageMinDv: number | null
  voltageMaxDv: number | null
  importWh: number
  exportWh: number
  /** How many of the readings carry the flag. */
  quality: { estimated: number; unknownTime: number; substitute: number }
  /** The fog's wall clock when the first reading of the window became durable. */
  firstReceivedS?: number
}

/** Type number of a summary among items. */
export const SUMMARY = 1

/** [1, …the fields of `Summary` in order…, ?firstReceivedS]; throws `messages/malformed`. */
export function encodeSummary(s: Summary): Uint8Array {
  const values = [
    s.startS,
    s.endS,
    s.revision,
    s.meters,
    s.readings,
    s.powerSumW,
    s.powerMinW,
    s.powerMaxW,
    s.voltageSumDv,
    s.voltageCount,
    s.voltageMinDv,
    s.voltageMaxDv,
    s.importWh,
    s.exportWh,
    s.quality.estimated,
    s.quality.unknownTime,
    s.quality.substitute,
  ]
  if (s.firstReceivedS !== undefined) values.push(s.firstReceivedS)
  summaryFrom([SUMMARY, ...values])
  return encodeTypedInts(SUMMARY, values)
}

/** The mirror of `encodeSummary`, from the decoded array. */
export function summaryFrom(value: CborValue): Summary {
  const f = fieldsOf(value, 'a summary', 18, 19)
  const summary: Summary = {
    startS: integer(f, 1),
    endS: integer(f, 2),
    revision: integer(f, 3),
    meters: integer(f, 4),
    readings: integer(f, 5),
    powerSumW: integer(f, 6, Number.MIN_SAFE_INTEGER),
    powerMinW: integer(f, 7, Number.MIN_SAFE_INTEGER),
    powerMaxW: integer(f, 8, Number.MIN_SAFE_INTEGER),
    voltageSumDv: integer(f, 9),
    voltageCount: integer(f, 10),
    voltageMinDv: integerOrNull(f, 11),
    voltageMaxDv: integerOrNull(f, 12),
    importWh: integer(f, 13),
    exportWh: integer(f, 14),
    quality: {
      estimated: integer(f, 15),
      unknownTime: integer(f, 16),
      substitute: integer(f, 17),
    },
  }
  if (f.length === 19) summary.firstReceivedS = integer(f, 18)
  checkConsistent(summary)
  return summary
}

function checkConsistent(s: Summary): void {
  if (s.endS <= s.startS) throw malformed('a window must end after its start')
  if (s.meters === 0) checkEmpty(s)
  if (s.meters > s.readings) throw malformed('a summary has more meters than readings')
  if (s.powerMinW > s.powerMaxW) throw malformed('the minimum power exceeds the maximum')
  const { voltageCount, voltageMinDv: min, voltageMaxDv: max } = s
  const quality = Math.max(s.quality.estimated, s.quality.unknownTime, s.quality.substitute)
  if (Math.max(voltageCount, quality) > s.readings) {
    throw malformed('a summary counts more than its readings')
  }
  if (voltageCount === 0 ? min !== null || max !== null || s.voltageSumDv !== 0 : min === null) {
    throw malformed('voltage figures need a voltage reading')
  }
  if (min !== null && (max === null || min > max)) {
    throw malformed('the minimum voltage exceeds the maximum')
  }
}

function checkEmpty(s: Summary): void {
  const figures = [s.readings, s.powerSumW, s.powerMinW, s.powerMaxW, s.importWh, s.exportWh]
  if (s.revision === 0 || figures.some((value) => value !== 0))
    throw malformed('only a later revision may be empty, and then all of it')
}
