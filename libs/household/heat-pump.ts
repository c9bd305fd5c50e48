import type { Appliance } from './appliances.ts'
import type { SeededRandom } from './random.ts'

const HOUR = 3_600
/** Below this temperature outside a house is heated (the usual limit of German and Dutch degree days). */
const HEATING_LIMIT_C = 15
/** The coldest it is built for. */
const DESIGN_C = -10
/** A compressor that turns slower stops instead. */
const SLOWEST = 0.3
const CYCLE_S = 2_400

/**
 * Air to water: heats as much as the house loses, and a tank once a day. Heat for one unit of
 * electricity falls with the temperature outside (Fraunhofer ISE, field tests in existing houses: 3.1
 * over the year).
 */
export function heatPump(random: SeededRandom): Appliance {
  const lossWPerK = random.between(130, 270)
  const largestW = (lossWPerK * (HEATING_LIMIT_C - DESIGN_C)) / heatPerUnit(DESIGN_C)
  const phaseS = random.between(0, CYCLE_S)
  const tankFromS = random.between(1, 14) * HOUR + random.between(0, 59) * 60
  const tankForS = random.between(40, 80) * 60
  const tankW = random.between(1_600, 2_200)

  return ({ secondOfDay, stepS, outsideC }) => {
    const tankS =
      Math.min(secondOfDay + stepS, tankFromS + tankForS) - Math.max(secondOfDay, tankFromS)
    const tank = Math.max(0, tankS) / stepS
    const wantedW = (lossWPerK * Math.max(0, HEATING_LIMIT_C - outsideC)) / heatPerUnit(outsideC)
    // Either the house or the tank.
    const heatW = (1 - tank) * compressor(Math.min(wantedW, largestW), secondOfDay, stepS)
    return Math.round(tank * tankW + heatW)
  }

  /** Turns as fast as is wanted, or now and then when less is wanted than it can go slowly. */
  function compressor(wantedW: number, secondOfDay: number, stepS: number): number {
    const slowestW = SLOWEST * largestW
    if (wantedW >= slowestW || stepS * 4 > CYCLE_S) return wantedW
    const onS = CYCLE_S * (wantedW / slowestW)
    return (secondOfDay + phaseS) % CYCLE_S < onS ? slowestW : 0
  }
}

/** The circulation pump of a house that burns something: on while it heats. */
export function circulation(random: SeededRandom): Appliance {
  const powerW = random.between(15, 55)
  return ({ outsideC }) => (outsideC < HEATING_LIMIT_C ? powerW : 0)
}

function heatPerUnit(outsideC: number): number {
  return Math.min(5, Math.max(1.8, 2.8 + 0.085 * outsideC))
}
