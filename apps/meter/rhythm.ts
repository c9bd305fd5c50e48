import type { Measurement } from '#meter'

/** Meters are not to the millisecond. */
const SLACK_S = 0.5

/**
 * Lets one measurement pass in `intervalSeconds`, with the mean power of those held back since the
 * last. What happens once (another meter, a power failure) passes at once. `atS` is when it was
 * taken, in seconds of whatever clock; null lets it pass.
 */
export function createRhythm(intervalSeconds: number) {
  let lastS: number | null = null
  let held: number[] = []

  function isDue({ replaced, status = 0 }: Measurement, atS: number | null): boolean {
    if (atS === null || lastS === null || replaced === true || status !== 0) return true
    return atS < lastS || atS - lastS >= intervalSeconds - SLACK_S
  }

  return (measurement: Measurement, atS: number | null): Measurement | null => {
    held.push(measurement.powerW)
    if (!isDue(measurement, atS)) return null
    // Adding 0 turns −0, which rounding −0.3 gives, into 0.
    const powerW = Math.round(held.reduce((sum, power) => sum + power, 0) / held.length) + 0
    lastS = atS
    held = []
    return { ...measurement, powerW }
  }
}

/**
 * The same for a gadget that shows nothing but power and speaks when it likes, mostly when that
 * changes: each power counts until the next one comes. The first has only itself to show.
 */
export function createHoldingRhythm(intervalSeconds: number) {
  let since: { atS: number; heldFromS: number; heldW: number; energyWs: number } | null = null

  return (measurement: Measurement, atS: number): Measurement | null => {
    if (since === null) {
      since = { atS, heldFromS: atS, heldW: measurement.powerW, energyWs: 0 }
      return measurement
    }
    since.energyWs += since.heldW * (atS - since.heldFromS)
    since.heldFromS = atS
    since.heldW = measurement.powerW
    const elapsedS = atS - since.atS
    if (elapsedS < intervalSeconds - SLACK_S || elapsedS === 0) return null
    const powerW = Math.round(since.energyWs / elapsedS) + 0
    since = { ...since, atS, energyWs: 0 }
    return { ...measurement, powerW }
  }
}
