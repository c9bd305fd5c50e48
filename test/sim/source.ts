import type { Measurement } from '#meter'
import type { Chance } from './chance.ts'
import type { DeviceClock } from './clock.ts'

/** The physical meter: counts energy whatever happens to the program that reads it. */
export interface Source {
  /** The reading now, after `elapsedMs` of true time. */
  measure(elapsedMs: number): Measurement
  /** What the physical registers really show, Wh. */
  readonly importWh: number
  readonly exportWh: number
  /** What the newest measurement showed was right: registers as they are, none of them 0. */
  readonly right: boolean
  /** The next measurement shows 0 in both registers, as a restarting meter does. */
  showZero(): void
  /** Whoever reads from now on knows nothing of what was read before. */
  newReader(): void
}

const msPerHour = 3_600_000

export function createSource(chance: Chance, clock: DeviceClock, powerOnly: boolean): Source {
  const base = chance.int(0, 50_000_000)
  const solar = chance.happens(0.3)
  let [importMs, exportMs] = [0, 0]
  let powerW = chance.int(50, 600)
  let zero = false
  /** A first reading of 0 is what a new meter shows: nobody could tell the two apart. */
  let first = true
  let right = false

  function next(): number {
    if (chance.happens(0.1)) return chance.int(solar ? -4_000 : 20, 6_000)
    return Math.max(solar ? -5_000 : 0, powerW + chance.int(-60, 60))
  }

  const source: Source = {
    get importWh() {
      return base + Math.floor(importMs / msPerHour)
    },
    get exportWh() {
      return Math.floor(exportMs / msPerHour)
    },
    get right() {
      return right
    },
    showZero: () => (zero = true),
    newReader: () => (first = true),
    measure(elapsedMs) {
      powerW = next()
      // Whole milliseconds times whole watts: exact for centuries.
      const elapsed = Math.round(elapsedMs)
      if (powerW > 0) importMs += powerW * elapsed
      else exportMs -= powerW * elapsed
      if (first) zero = false
      first = false
      const shown = zero ? 0 : 1
      right = !zero && !powerOnly
      zero = false
      const registers = powerOnly
        ? {}
        : { importWh: shown * source.importWh, exportWh: shown * source.exportWh }
      return {
        timeS: Math.floor(clock.now() / 1000),
        timeQuality: clock.quality(),
        ageS: clock.ageS(),
        powerW,
        voltageDv: chance.happens(0.5) ? 2_300 + chance.int(-50, 50) : null,
        currentMa: null,
        ...registers,
      }
    },
  }
  return source
}
