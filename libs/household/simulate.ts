import * as appliances from './appliances.ts'
import { seededRandom, type SeededRandom } from './random.ts'
import { integrate, registersAt, type Registers } from './registers.ts'

export interface SimulationOptions {
  /** Time of the start of the first interval, seconds since 1970. */
  startS: number
  /** Length of an interval in whole seconds; 60 if left out. */
  stepS?: number
  /** Peak power of a solar roof in W; 0 (none) if left out. */
  solarPeakW?: number
  /** What the clock on the wall is ahead of UTC, in seconds; 0 if left out. */
  zoneOffsetS?: number
  /** Registers to go on from; both 0 if left out. */
  registers?: Registers
}

/** What a simulated meter shows at the end of an interval. */
export interface SimulatedSample {
  /** End of the interval the values belong to. */
  timeS: number
  /** Mean power of the interval; negative is export. */
  powerW: number
  voltageDv: number
  currentMa: number
  importWh: number
  exportWh: number
  /** The registers with their remainders, to go on from after a restart. */
  registers: Registers
}

const NOMINAL_DV = 2_300
const DAY_S = 86_400

/**
 * An endless household: standing load, fridge, kettle, oven, washing machine, lights and, if asked
 * for, a solar roof. The same seed and options give the same samples on every machine (integer and
 * exactly rounded arithmetic only). The registers integrate exactly the power reported.
 */
export function* simulate(
  seed: number,
  options: SimulationOptions,
): Generator<SimulatedSample, never> {
  const { startS, stepS = 60, solarPeakW = 0, zoneOffsetS = 0 } = options
  const random = seededRandom(seed)
  const loads = [
    appliances.standby(random),
    appliances.fridge(random),
    appliances.kettle(random),
    appliances.oven(random),
    appliances.washing(random),
    appliances.lights(random),
  ]
  const roof = solarPeakW > 0 ? appliances.solar(random, solarPeakW) : () => 0
  const voltage = mains(random)
  let registers = options.registers ?? registersAt()
  let timeS = startS
  for (;;) {
    const secondOfDay = (((timeS + zoneOffsetS) % DAY_S) + DAY_S) % DAY_S
    let powerW = -roof(secondOfDay, stepS) + 0
    for (const load of loads) powerW += load(secondOfDay, stepS)
    registers = integrate(registers, powerW, stepS)
    timeS += stepS
    const voltageDv = voltage(powerW)
    const currentMa = Math.round((Math.abs(powerW) * 10_000) / voltageDv)
    const { importWh, exportWh } = registers
    yield { timeS, powerW, voltageDv, currentMa, importWh, exportWh, registers }
  }
}

/** Mains voltage: wanders slowly, sinks under load and rises when power is fed in. */
function mains(random: SeededRandom): (powerW: number) => number {
  let wander = random.between(-40, 40)
  return (powerW) => {
    wander = Math.min(80, Math.max(-80, wander + random.between(-4, 4)))
    // About 0.35 Ω to the transformer: 1 kW changes the voltage by 1.5 V.
    return NOMINAL_DV + wander - Math.round((powerW * 15) / 1_000)
  }
}
