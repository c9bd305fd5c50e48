/**
 * One meter: measurements become numbered readings on a hash chain, readings become signed blocks,
 * blocks wait in the store until the fog node holds them. Portable; see README.md.
 */
export { createMeter } from './meter.ts'
export type { Meter } from './meter.ts'
export { meterDefaults } from './settings.ts'
export type {
  Boot,
  Measurement,
  MeterEvent,
  MeterSettings,
  MeterStatus,
  MeterStore,
} from './types.ts'
