import type { Appliance } from './appliances.ts'
import { noise, type SeededRandom } from './random.ts'

/** What an inverter and warm, dusty, wired modules leave of the nominal power. */
const PERFORMANCE = 0.8
const SKY = 1_000
const PASSING_S = 1_200

/**
 * Photovoltaic output of a roof of `peakW`, negative: it looks between east and west at a slope of its
 * own, under the clouds of the region and some of its own.
 */
export function solar(random: SeededRandom, peakW: number): Appliance {
  const plane = { slopeDeg: random.between(20, 48), azimuthDeg: random.between(-90, 90) }
  const ownSeed = random.uint32()
  return ({ timeS, sun, clearness }) => {
    if (sun.height <= 0) return 0
    const passing = 0.25 * noise(ownSeed, SKY, timeS / PASSING_S)
    const clear = Math.min(1, Math.max(0, clearness + passing))
    // The lower the sun, the more air its beam goes through.
    const beam = (1.1 * sun.height) / (sun.height + 0.15)
    // What the sky scatters comes from all of it: most under thin clouds.
    const scattered = sun.height * (0.16 + 0.34 * clear * (1 - clear) * 2)
    const share = Math.min(1, beam * clear * sun.onto(plane) + scattered)
    return -Math.floor(peakW * PERFORMANCE * share) + 0
  }
}
