/** Sealed records between two ends of a session. See README.md for the layout and the limits. */
export type { Direction, RecordContext, RecordLimits } from './context.ts'
export { counterOf, encodeHead, epochBits, expandRecord, isRecord } from './frame.ts'
export { createOpener, type Opened, type Opener, type Refused } from './opener.ts'
export type { RefusedReason } from './opener.ts'
export { deriveRecordPair, recordLabels, type PairOptions, type RecordPair } from './pair.ts'
export { createSealer, type Sealer } from './sealer.ts'
