import type { Chance } from '../../sim/chance.ts'
import type { Shown } from '../../../apps/emulator/surroundings.ts'

const MS_PER_HOUR = 3_600_000

/** The meter on the wall: counts exactly, whatever happens to the chip that reads it. */
export function createPhysical(chance: Chance, fromMs: number): (trueMs: number) => Shown {
  const base = chance.int(0, 50_000_000)
  const solar = chance.happens(0.3)
  let [importedWms, exportedWms] = [0, 0]
  let powerW = chance.int(50, 600)
  let lastMs = Math.floor(fromMs)

  return (trueMs) => {
    const nowMs = Math.max(lastMs, Math.floor(trueMs))
    // Whole milliseconds times whole watts: exact for centuries.
    if (powerW > 0) importedWms += powerW * (nowMs - lastMs)
    else exportedWms -= powerW * (nowMs - lastMs)
    lastMs = nowMs
    const change = chance.int(-60, 60)
    powerW = chance.happens(0.1)
      ? chance.int(solar ? -4_000 : 20, 6_000)
      : Math.max(solar ? -5_000 : 0, powerW + change)
    return {
      powerW,
      importWh: base + Math.floor(importedWms / MS_PER_HOUR),
      exportWh: Math.floor(exportedWms / MS_PER_HOUR),
    }
  }
}
