import type { SeededRandom } from './random.ts'
import type { Sun } from './sun.ts'
import type { Weather } from './weather.ts'

/** The beginning of an interval, as a household sees it. */
export interface Moment extends Weather {
  timeS: number
  /** By the clock on the wall. */
  secondOfDay: number
  /** Length of the interval. */
  stepS: number
  sun: Sun
}

/** One piece of a household: told the moment, it says what it draws on average, in W. */
export type Appliance = (moment: Moment) => number

const HOUR = 3_600

/** The always-on part: routers, clocks, chargers. */
export function standby(random: SeededRandom): Appliance {
  const baseW = random.between(45, 110)
  return () => baseW + random.between(-3, 3)
}

/** Compressor on for about 18 minutes in every 55, at its own phase. */
export function fridge(random: SeededRandom): Appliance {
  const powerW = random.between(70, 120)
  const onS = random.between(15, 21) * 60
  const cycleS = onS + random.between(30, 45) * 60
  const phaseS = random.between(0, cycleS)
  return ({ secondOfDay }) => ((secondOfDay + phaseS) % cycleS < onS ? powerW : 0)
}

/** Two to five minutes of full power, mostly at breakfast, noon and tea. */
export function kettle(random: SeededRandom): Appliance {
  const powerW = random.between(1_700, 2_400)
  const perDay = hourly([0, 0, 0, 0, 0, 1, 6, 8, 4, 2, 3, 2, 4, 3, 2, 4, 5, 3, 2, 2, 3, 2, 1, 0])
  return run(random, perDay, () => [{ powerW, forS: random.between(2, 5) * 60 }])
}

/** Heats up, then a thermostat switching on and off. */
export function oven(random: SeededRandom): Appliance {
  const powerW = random.between(1_900, 2_600)
  const perDay = hourly([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 3, 2, 0, 0, 0, 2, 6, 8, 4, 1, 0, 0, 0])
  return run(random, perDay, () => {
    const phases = [{ powerW, forS: random.between(8, 12) * 60 }]
    for (let i = random.between(4, 9); i > 0; i--) {
      phases.push({ powerW: 30, forS: 180 }, { powerW, forS: 120 })
    }
    return phases
  })
}

/** Heating, washing and spinning, about every second day. */
export function washing(random: SeededRandom): Appliance {
  const heatW = random.between(1_800, 2_200)
  const perDay = hourly([0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 4, 3, 2, 2, 2, 2, 2, 2, 2, 2, 1, 0, 0, 0])
  return run(random, perDay, () => [
    { powerW: heatW, forS: random.between(12, 22) * 60 },
    { powerW: random.between(120, 200), forS: random.between(30, 50) * 60 },
    { powerW: random.between(350, 500), forS: 8 * 60 },
  ])
}

/** Lamps people have on at that hour, a few at a time; by daylight few of them. */
export function lights(random: SeededRandom): Appliance {
  const lampW = random.between(9, 22)
  const lamps = [1, 0, 0, 0, 0, 1, 4, 4, 2, 1, 1, 1, 1, 1, 1, 1, 2, 5, 7, 8, 8, 7, 5, 3]
  const habit = lamps.map((count) => Math.max(0, count + random.between(-1, 1)))
  return ({ secondOfDay, sun }) => {
    const dark = Math.min(1, Math.max(0.3, 1 - 4 * sun.height))
    return Math.round((habit[Math.floor(secondOfDay / HOUR)] ?? 0) * lampW * dark)
  }
}

interface Phase {
  powerW: number
  forS: number
}

/** Tenths of a use to be expected in each hour of the day. */
type Hourly = readonly number[]

function hourly(tenths: Hourly): Hourly {
  return tenths
}

/** Starts at random by the hourly habit, then plays the phases; not started again while running. */
function run(random: SeededRandom, tenthsPerHour: Hourly, start: () => Phase[]): Appliance {
  // Some households use a thing often, some rarely.
  const rarity = random.between(8, 25)
  let phases: Phase[] = []
  let elapsedS = 0
  return ({ secondOfDay, stepS }) => {
    const tenths = tenthsPerHour[Math.floor(secondOfDay / HOUR)] ?? 0
    if (phases.length === 0 && tenths > 0 && random.oneIn((HOUR * rarity) / (tenths * stepS))) {
      phases = start()
      elapsedS = 0
    }
    let energyWs = 0
    for (let leftS = stepS; leftS > 0 && phases[0] !== undefined;) {
      const forS = Math.min(leftS, phases[0].forS - elapsedS)
      energyWs += phases[0].powerW * forS
      elapsedS += forS
      leftS -= forS
      if (elapsedS < phases[0].forS) continue
      elapsedS = 0
      phases.shift()
    }
    return Math.round(energyWs / stepS)
  }
}
