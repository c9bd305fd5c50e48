import { defaults } from '#defaults'
import { windowDefaults } from '#window'
import type { FogSettings } from './core.ts'

/**
 * Defaults of a fog node. A commit waits for about a page of blocks, because a commit of one block
 * writes as many bytes to the card as one of ten; the meters do not wait for its receipt.
 */
export const fogDefaults: FogSettings = {
  commit: { bytes: 4_096, maxBlocks: defaults.commit.maxBlocks, maxWaitMs: 200 },
  receiptMs: 250,
  maxInFlight: 4_096,
  maxInFlightPerMeter: defaults.delivery.windowItems,
  holdMs: 1_000,
  checkpointMs: 300_000,
  statusMs: 300_000,
  window: windowDefaults,
  time: { ...defaults.time, maxWaiting: 65_536 },
}
