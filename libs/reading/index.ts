/** Readings, their hash chain, and the signed blocks that make them evidence. See README.md. */
export {
  checkReading,
  decodeReading,
  encodeReading,
  readingLimits,
  type Reading,
} from './reading.ts'
export { mergeStatus, status, statusNames, timeQuality, timeQualityOf } from './status.ts'
export { type SkippedRange, type Statement } from './statement.ts'
export { type Block } from './block.ts'
