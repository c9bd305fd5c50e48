import { derivedSeed, seededRandom } from './random.ts'
import type { HomeOptions } from './simulate.ts'

/** How many of a hundred homes have what. */
export interface Shares {
  solarPercent: number
  heatPumpPercent: number
  carPercent: number
}

const PARTS = { solar: 101, heatPump: 102, car: 103, arrival: 104 } as const
const UINT32 = 2 ** 32

/**
 * What the home of this seed has. A larger share adds to those that had it already; one thing says
 * nothing about another.
 */
export function homeOf(seed: number, solarPeakW: number, shares: Shares): Required<HomeOptions> {
  const has = (part: number, percent: number) =>
    seededRandom(derivedSeed(seed, part)).between(1, 100) <= percent
  return {
    solarPeakW: has(PARTS.solar, shares.solarPercent) ? solarPeakW : 0,
    heatPump: has(PARTS.heatPump, shares.heatPumpPercent),
    car: has(PARTS.car, shares.carPercent),
  }
}

/**
 * How many seconds after its time the reading of `timeS` arrives, from 0 to below `upToS`: meters that
 * all measure on the full minute do not all speak in the same instant.
 */
export function arrivalDelayS(seed: number, timeS: number, upToS: number): number {
  return (derivedSeed(derivedSeed(seed, PARTS.arrival), timeS) / UINT32) * upToS
}
