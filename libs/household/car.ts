import type { Appliance } from './appliances.ts'
import { derivedSeed, seededRandom, type SeededRandom } from './random.ts'

const HOUR = 3_600
const DAY_S = 86_400
const WS_PER_KWH = 3_600_000

/** Schuko, and wallboxes with one or three phases. */
const CHARGERS_W = [2_300, 3_700, 7_400, 11_000, 11_000] as const
/** From the wall to the battery. */
const EFFICIENCY = 0.9
/** kWh for 1000 km when it is warm; up to a quarter more when it freezes. */
const KWH_PER_1000_KM = 165
/** Above this charge it takes less and less. */
const TAPER_FROM = 0.9
const SLOWEST = 0.2

/** A day of the car: when it is away, and how far it goes; null when it stays. */
interface Trip {
  leavesS: number
  returnsS: number
  km: number
}

/**
 * An electric car that is charged at home: comes back in the evening (German cars drive 12 300 km a
 * year, KBA 2023), is plugged in when its owner finds it empty enough, and takes
 * what its charger gives until it is full.
 */
export function car(random: SeededRandom): Appliance {
  const capacityWs = random.between(40, 80) * WS_PER_KWH
  const chargerW = CHARGERS_W[random.between(0, CHARGERS_W.length - 1)]!
  const pluggedBelow = random.between(50, 100) / 100
  const habits = {
    seed: random.uint32(),
    leavesS: random.between(13, 19) * (HOUR / 2),
    returnsS: random.between(31, 39) * (HOUR / 2),
  }
  let batteryWs = Math.floor((capacityWs * random.between(50, 100)) / 100)
  let plugged = batteryWs <= capacityWs * pluggedBelow
  let day = -1
  let trip: Trip | null = null
  let away = false

  function move(atDay: number, secondOfDay: number, outsideC: number): void {
    if (atDay !== day) {
      day = atDay
      trip = tripOn(day, habits)
    }
    const isAway = trip !== null && secondOfDay >= trip.leavesS && secondOfDay < trip.returnsS
    if (away && !isAway) arrive(trip?.km ?? 0, outsideC)
    away = isAway
  }

  function arrive(km: number, outsideC: number): void {
    const cold = 1 + Math.min(0.25, Math.max(0, (15 - outsideC) / 60))
    const usedWs = Math.floor((km * KWH_PER_1000_KM * cold * WS_PER_KWH) / 1_000)
    // A longer way is charged for on the road.
    batteryWs = Math.max(Math.floor(capacityWs / 10), batteryWs - usedWs)
    plugged = batteryWs <= capacityWs * pluggedBelow
  }

  return ({ timeS, secondOfDay, stepS, outsideC }) => {
    move(Math.floor((timeS - secondOfDay) / DAY_S + 0.5), secondOfDay, outsideC)
    if (away || !plugged) return 0
    const left = (capacityWs - batteryWs) / capacityWs
    const taper = Math.min(1, Math.max(SLOWEST, left / (1 - TAPER_FROM)))
    const neededWs = (capacityWs - batteryWs) / EFFICIENCY
    const powerW = Math.floor(Math.min(chargerW * taper, neededWs / stepS))
    batteryWs += Math.floor(powerW * stepS * EFFICIENCY)
    if (powerW === 0) plugged = false
    return powerW
  }
}

/** On most days, by day; the same for the same day whatever came before. */
function tripOn(
  day: number,
  habits: { seed: number; leavesS: number; returnsS: number },
): Trip | null {
  const random = seededRandom(derivedSeed(habits.seed, day))
  // 1970 began on a Thursday.
  const weekend = (day + 3) % 7 >= 5
  if (random.between(1, 100) > (weekend ? 60 : 85)) return null
  const late = weekend ? 2 * HOUR : 0
  const km = random.oneIn(30) ? random.between(120, 280) : random.between(6, 66)
  return {
    leavesS: habits.leavesS + late + random.between(-30, 30) * 60,
    returnsS: habits.returnsS + random.between(-60, 90) * 60,
    km,
  }
}
