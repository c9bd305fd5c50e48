/**
 * Where the sun stands. Sine and cosine are polynomials here: the language's own may differ in the
 * last digit from one machine to another, and a seed gives the same home on all of them.
 */

const TAU = 2 * Math.PI
const DAY_S = 86_400
const YEAR_DAYS = 365.2425
/** Tilt of the earth's axis, in turns. */
const TILT_TURNS = 23.44 / 360
/** From the winter solstice to New Year. */
const SOLSTICE_DAYS = 10

/** Sine of an angle in turns, to 10^−7. */
export function sine(turns: number): number {
  const half = turns - Math.round(turns)
  const quarter = half > 0.25 ? 0.5 - half : half < -0.25 ? -0.5 - half : half
  const a = quarter * TAU
  const q = a * a
  return a * (1 - (q / 6) * (1 - (q / 20) * (1 - (q / 42) * (1 - (q / 72) * (1 - q / 110)))))
}

export function cosine(turns: number): number {
  return sine(turns + 0.25)
}

/** How far the year is, in turns from the winter solstice of the northern hemisphere. */
export function yearTurns(timeS: number): number {
  return (timeS / DAY_S + SOLSTICE_DAYS) / YEAR_DAYS
}

/** A surface: its slope, and the direction it looks in, west of south; both in degrees. */
export interface Plane {
  slopeDeg: number
  azimuthDeg: number
}

export interface Sun {
  /** Sine of the angle above the horizon; negative by night. */
  height: number
  /** Cosine of the angle to the perpendicular of a surface; 0 when the sun is behind it. */
  onto(plane: Plane): number
}

/** The sun at a latitude in degrees; it stands highest at 12:00. */
export function sunAt(timeS: number, secondOfDay: number, latitudeDeg: number): Sun {
  const declination = -TILT_TURNS * cosine(yearTurns(timeS))
  const hour = secondOfDay / DAY_S - 0.5
  const latitude = latitudeDeg / 360
  const up = sine(declination) // towards the pole, west and the equator's noon
  const west = cosine(declination) * sine(hour)
  const noon = cosine(declination) * cosine(hour)
  const south = noon * sine(latitude) - up * cosine(latitude)
  const height = noon * cosine(latitude) + up * sine(latitude)
  return {
    height,
    onto({ slopeDeg, azimuthDeg }) {
      const slope = slopeDeg / 360
      const azimuth = azimuthDeg / 360
      const across = south * cosine(azimuth) + west * sine(azimuth)
      return Math.max(0, height * cosine(slope) + across * sine(slope))
    },
  }
}
