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
  /** Distinct meters. */
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
