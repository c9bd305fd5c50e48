import * as appliances from './appliances.ts'
import { car } from './car.ts'
import { circulation, heatPump } from './heat-pump.ts'
import { derivedSeed, seededRandom, type SeededRandom } from './random.ts'
import { integrate, registersAt, type Registers } from './registers.ts'
import { solar } from './solar.ts'
import { sunAt } from './sun.ts'
import { weatherAt } from './weather.ts'

/** What a home has beside what every home has. */
export interface HomeOptions {
  /** Peak power of a solar roof in W; 0 (none) if left out. */
  solarPeakW?: number
  /** Heated by a heat pump; without it by something that is burnt. */
  heatPump?: boolean
  /** An electric car is charged here. */
  car?: boolean
}

export interface SimulationOptions extends HomeOptions {
  /** Time of the start of the first interval, seconds since 1970. */
  startS: number
  /** Length of an interval in whole seconds; 60 if left out. */
  stepS?: number
  /** Where it is: decides season, day and warmth. 52 (Amsterdam, Berlin) if left out. */
  latitudeDeg?: number
  /** Of the region's weather, which homes share; the home's own if left out. */
  weatherSeed?: number
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
/** Each part of a home has randomness of its own: to add one changes nothing else. */
const PARTS = { solar: 1, heating: 2, car: 3 } as const

/**
 * An endless household: standing load, fridge, kettle, oven, washing machine, lights, heating and, if
 * asked for, a heat pump, an electric car and a solar roof, in the seasons of its latitude. The same
 * seed and options give the same samples on every machine (integer and exactly rounded arithmetic
 * only). The registers integrate exactly the power reported. README.md says how much it uses.
 */
export function* simulate(
  seed: number,
  options: SimulationOptions,
): Generator<SimulatedSample, never> {
  const { startS, stepS = 60, zoneOffsetS = 0, latitudeDeg = 52, weatherSeed = seed } = options
  const random = seededRandom(seed)
  const loads = loadsOf(seed, random, options)
  const voltage = mains(random)
  let registers = options.registers ?? registersAt()
  let timeS = startS
  for (;;) {
    const secondOfDay = (((timeS + zoneOffsetS) % DAY_S) + DAY_S) % DAY_S
    const sun = sunAt(timeS, secondOfDay, latitudeDeg)
    const weather = weatherAt(weatherSeed, timeS, secondOfDay, latitudeDeg)
    const moment = { timeS, secondOfDay, stepS, sun, ...weather }
    const powerW = loads.reduce((sum, load) => sum + load(moment), 0)
    registers = integrate(registers, powerW, stepS)
    timeS += stepS
    const voltageDv = voltage(powerW)
    const currentMa = Math.round((Math.abs(powerW) * 10_000) / voltageDv)
    const { importWh, exportWh } = registers
    yield { timeS, powerW, voltageDv, currentMa, importWh, exportWh, registers }
  }
}

function loadsOf(seed: number, random: SeededRandom, home: HomeOptions): appliances.Appliance[] {
  const { solarPeakW = 0 } = home
  const of = (part: number) => seededRandom(derivedSeed(seed, part))
  return [
    appliances.standby(random),
    appliances.fridge(random),
    appliances.kettle(random),
    appliances.oven(random),
    appliances.washing(random),
    appliances.lights(random),
    home.heatPump === true ? heatPump(of(PARTS.heating)) : circulation(of(PARTS.heating)),
    ...(home.car === true ? [car(of(PARTS.car))] : []),
    ...(solarPeakW > 0 ? [solar(of(PARTS.solar), solarPeakW)] : []),
  ]
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
