import type { Clock } from '#ports'
import type { Chance } from './chance.ts'
import type { Engine } from './engine.ts'

/** True wall time when a run begins: 2026-11-01T00:00:00Z. */
export const startWallMs = 1_793_491_200_000

const hourMs = 3_600_000

export type ClockFault = 'none' | '1970' | '2100' | 'steps'

/** One device's idea of time: wrong in the ways real ones are. */
export interface DeviceClock extends Clock {
  readonly fault: ClockFault
  /** The machine starts: its monotonic clock begins somewhere else, 1970 comes back. */
  boot(): void
  /** Somebody or something sets the wall clock by up to this much either way. */
  step(mostMs: number): void
  /** True time that passes while the device counts `ms`. */
  trueDelay(ms: number): number
  /** How far the device trusts it, `timeQuality` of #reading: it only knows when it was never set. */
  quality(): 0 | 2
  /** Of the machine, since it started. */
  readonly bootId: number
  ageS(): number
}

export function createDeviceClock(
  engine: Engine,
  chance: Chance,
  options: { fault: ClockFault; driftPpm: number },
): DeviceClock {
  const { fault } = options
  const rate = 1 + options.driftPpm * 1e-6
  let bootedAtMs = 0
  let originMs = 0
  let wallAtBootMs = 0
  let bootId = 0

  const clock: DeviceClock = {
    fault,
    boot() {
      bootedAtMs = engine.nowMs
      bootId = chance.int(1, 2 ** 48)
      originMs = chance.int(0, 10_000_000)
      wallAtBootMs = wallAt(fault, engine.nowMs, chance)
    },
    step(mostMs) {
      wallAtBootMs += Math.round(chance.between(-mostMs, mostMs))
    },
    now: () => Math.floor(Math.max(0, wallAtBootMs + (engine.nowMs - bootedAtMs) * rate)),
    monotonic: () => Math.floor(originMs + (engine.nowMs - bootedAtMs) * rate),
    trueDelay: (ms) => ms / rate,
    quality: () => (fault === '1970' ? 2 : 0),
    get bootId() {
      return bootId
    },
    ageS: () => Math.floor(((engine.nowMs - bootedAtMs) * rate) / 1000),
  }
  clock.boot()
  return clock
}

function wallAt(fault: ClockFault, trueMs: number, chance: Chance): number {
  if (fault === '1970') return chance.int(0, 100_000)
  if (fault === '2100') return Date.UTC(2100, 0, 1) + chance.int(0, hourMs)
  return startWallMs + trueMs
}
