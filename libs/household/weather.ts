import { noise } from './random.ts'
import { cosine, yearTurns } from './sun.ts'

const HOUR = 3_600
const DAY_S = 86_400

/** What the sky and the thermometer show. */
export interface Weather {
  /** Outside temperature in °C. */
  outsideC: number
  /** Share of the sun's beam that comes through the clouds, 0 to 1. */
  clearness: number
}

/**
 * The long-term mean at 52° is that of De Bilt, 10.5 °C, from 3.6 °C in January to 18.3 °C in July
 * (KNMI, normals 1991–2020); it falls by about 0.6 K a degree of latitude (Stockholm 7 °C, Rome 16 °C).
 */
const MEAN_C = 10.5
const PER_DEGREE_K = 0.6
const SEASON_K = 7.5
const REFERENCE_DEG = 52
/** From the solstice to the coldest day. */
const LAG_TURNS = 30 / 365
/** Warmest in the afternoon. */
const WARMEST_S = 15 * HOUR
const DAY_SWING_K = 3.5

/**
 * The weather of a region at a moment, which follows from seed and time alone: all homes of a fleet
 * have the same, whenever they were started.
 */
export function weatherAt(
  seed: number,
  timeS: number,
  secondOfDay: number,
  latitudeDeg: number,
): Weather {
  // 1 in the middle of the winter, −1 in that of the summer, south of the equator as well.
  const winter = cosine(yearTurns(timeS) - LAG_TURNS) * Math.sign(latitudeDeg)
  const distanceDeg = Math.abs(latitudeDeg)
  const sky = 0.5 * noise(seed, 1, timeS / (2 * DAY_S)) + 0.4 * noise(seed, 2, timeS / (5 * HOUR))
  const clearness = Math.min(1, Math.max(0, 0.3 - 0.12 * winter + sky))
  const meanC = MEAN_C + PER_DEGREE_K * (REFERENCE_DEG - distanceDeg)
  const seasonK = SEASON_K * (distanceDeg / REFERENCE_DEG) * winter
  const swingK = DAY_SWING_K * (0.4 + clearness) * cosine((secondOfDay - WARMEST_S) / DAY_S)
  const frontsK = 6 * noise(seed, 3, timeS / (5 * DAY_S)) + 3 * noise(seed, 4, timeS / DAY_S)
  return { outsideC: meanC - seasonK + swingK + frontsK, clearness }
}
