/** Numbers a meter declares it never used: from the first to the last of a range, inclusive. */
export type SkippedRange = [first: number, last: number]

/**
 * What a block signature says. A block accounts for every number from `first` to `last`: each is
 * either a reading or inside a declared skipped range, so consecutive blocks always meet
 * (`next.first === previous.last + 1`). `last` is always a reading.
 */
export interface Statement {
  deviceId: string
  /** Lowest number accounted for: the first reading, or the start of a range skipped before it. */
  first: number
  /** Number of the last reading. */
  last: number
  /** Ascending, disjoint, not touching each other. */
  skipped: SkippedRange[]
  /** Hash chain before the first and after the last reading, 32 bytes each. */
  previousChain: Uint8Array
  chain: Uint8Array
  /** Times of the first and the last reading. */
  startTimeS: number
  endTimeS: number
  /** Registers after the previous block; for the first block ever, those of its first reading. */
  startImportWh: number
  startExportWh: number
  /** Registers of the last reading. */
  endImportWh: number
  endExportWh: number
  /** Worst time quality and all flags of the readings. */
  status: number
}
