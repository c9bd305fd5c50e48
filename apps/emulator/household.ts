import { simulate, type SimulatedSample } from '#household'
import type { Shown } from './surroundings.ts'

/** A household whose meter shows, at any true time, what was used until the minute before. */
export function householdMeter(seed: number, startMs: number): (trueMs: number) => Shown {
  const stepS = 60
  const startS = Math.floor(startMs / 1_000 / stepS) * stepS
  const samples = simulate(seed, { startS, stepS })
  let shown: SimulatedSample = samples.next().value
  let next: SimulatedSample = samples.next().value
  return (trueMs) => {
    while (next.timeS * 1_000 <= trueMs) {
      shown = next
      next = samples.next().value
    }
    const { powerW, importWh, exportWh } = shown
    return { powerW, importWh, exportWh }
  }
}
