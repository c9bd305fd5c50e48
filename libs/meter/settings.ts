import { defaults } from '#defaults'
import type { MeterSettings } from './types.ts'

/** Settings for a meter nobody configured. */
export const meterDefaults: MeterSettings = {
  mode: 'live',
  maxReadings: defaults.block.maxReadings,
  maxSeconds: defaults.block.maxSeconds,
  boundarySeconds: defaults.block.boundarySeconds,
  maxBlocks: defaults.outbox.meterBlocks,
  maxStatements: defaults.outbox.meterStatements,
  maxGapSeconds: defaults.block.boundarySeconds,
  rolloverWh: null,
  maxPowerW: 100_000,
  windowItems: defaults.delivery.windowItems,
  resendAfterMs: defaults.delivery.resendAfterMs,
}
