/** Readings, their hash chain, and the signed blocks that make them evidence. See README.md. */
export {
  checkReading,
  decodeReading,
  encodeReading,
  lastDateS,
  readingFromValues,
  readingLimits,
  readingValues,
  type Reading,
} from './reading.ts'
export { mergeStatus, status, statusNames, timeQuality, timeQualityOf } from './status.ts'
export { fieldOfObis, toObis } from './obis.ts'
export { anchorFrom, anchorValues, type Anchor } from './anchor.ts'
export { chain, chainAll, firstChain } from './chain.ts'
export { decodeLive, encodeLive } from './live.ts'
export {
  decodeStatement,
  encodeStatement,
  peekRegister,
  registerEnvelope,
  signStatement,
  skippedFrom,
  splitRegister,
  statementToSign,
  verifyRegister,
  verifyStatement,
  type SkippedRange,
  type Statement,
} from './statement.ts'
export {
  blockNumbers,
  buildBlock,
  checkBlockShape,
  countOf,
  makeStatement,
  verifyBlock,
  type Block,
} from './block.ts'
export { decodeBlock, encodeBlock } from './wire.ts'
