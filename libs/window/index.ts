/** Tumbling windows over readings: energy from registers, totals, watermark, revisions. */
import { defaults } from '#defaults'
import type { WindowSettings } from './due.ts'

export { mergeSums, type EnergyReading } from './accumulator.ts'
export { windowEnd } from './boundaries.ts'
export {
  defaultMaxStepWh,
  energyOf,
  newEnergyTrack,
  type EnergyTrack,
  type IntervalReading,
  type RegisterTrack,
} from './energy.ts'
export { watermarkS } from './watermark.ts'
export { createWindows, type Windows } from './windows.ts'
export type { WindowRow } from './state.ts'
export type { WindowSettings } from './due.ts'

/** The settings of a deployment that has not chosen its own. */
export const windowDefaults: WindowSettings = {
  ...defaults.window,
  activeSeconds: 2 * defaults.window.seconds,
  maxMergeSeconds: 86_400,
  maxWindows: 20_000,
}
