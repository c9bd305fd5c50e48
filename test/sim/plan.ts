import type { ChannelLimits } from '#channel'
import { createChance, type Chance } from './chance.ts'
import type { ClockFault } from './clock.ts'
import type { Weather } from './network.ts'

/** Everything about a run that follows from its seed: who takes part, how, and what goes wrong. */
export interface Plan {
  seed: number
  realCrypto: boolean
  meters: number
  fogs: number
  clouds: number
  /** Both cloud services work on one database, or each on its own. */
  sharedDatabase: boolean
  /** How long meters measure; afterwards everything heals and drains. */
  hours: number
  intervalS: number
  mode: 'live' | 'block'
  /** Only power is known to the meters: they integrate it by their own clock. */
  powerOnly: boolean
  block: { maxReadings: number; maxSeconds: number; boundarySeconds: number }
  windowSeconds: number
  retentionDays: number
  maxBlocks: number
  /** What a fog node's outbox may hold. */
  maxItems: number
  limits: Partial<ChannelLimits>
  weather: Weather
  clocks: { meters: ClockFault[]; fogs: ClockFault[]; clouds: ClockFault[] }
  /** Mean hours between accidents of each kind; 0: never. */
  everyHours: {
    kill: number
    partition: number
    halfOpen: number
    brokerRestart: number
    disk: number
    clockStep: number
    longOutage: number
    move: number
    zeroRegister: number
  }
  /** One bit of one disk flips once. */
  rot: boolean
  /** A cloud's database once becomes what a copy of some hours before has. */
  restore: boolean
}

const kinds: readonly ClockFault[] = ['none', 'none', 'none', 'none', '1970', '2100', 'steps']

/** The plan of a seed. The run itself draws from a stream of its own. */
export function planOf(seed: number): Plan {
  const chance = createChance(seed ^ 0x51a7e)
  const calm = chance.happens(0.1)
  const every = (...hours: number[]) => (calm ? 0 : chance.pick(hours))
  const meters = chance.pick([2, 4, 6, 8])
  const intervalS = chance.pick([60, 300, 600, 900, 900])
  const rekeyAfterMs = chance.pick([2, 12, 24]) * 3_600_000
  const meterClocks = Array.from({ length: meters }, () => (calm ? 'none' : chance.pick(kinds)))
  const fogs = chance.happens(0.3) ? 2 : 1
  return {
    seed,
    realCrypto: seed % 10 === 0,
    meters,
    fogs,
    clouds: chance.happens(0.3) ? 2 : 1,
    // What two fog nodes count twice is found by the database they share.
    sharedDatabase: fogs === 2 || chance.happens(0.5),
    hours: hoursFor(chance, meters, intervalS),
    intervalS,
    mode: chance.happens(0.6) ? 'live' : 'block',
    powerOnly: chance.happens(0.25),
    block: {
      maxReadings: chance.pick([1, 4, 16, 16, 64]),
      maxSeconds: chance.pick([60, 900, 3_600]),
      boundarySeconds: chance.pick([900, 1_800, 3_600]),
    },
    windowSeconds: chance.pick([300, 900, 900, 1_800, 3_600]),
    retentionDays: chance.pick([2, 7]),
    maxBlocks: chance.pick([3, 12, 50, 100_000]),
    limits: {
      rekeyAfterMs,
      refuseAfterMs: 2 * rekeyAfterMs,
      rekeyAfterRecords: chance.pick([12, 100, 1_000, 2 ** 16]),
    },
    weather: calm ? clear : weatherOf(chance),
    clocks: {
      meters: meterClocks,
      fogs: Array.from({ length: 2 }, () => (calm ? 'none' : chance.pick(kinds))),
      clouds: Array.from({ length: 2 }, () => (calm ? 'none' : chance.pick(kinds))),
    },
    everyHours: {
      kill: every(0, 2, 6, 12),
      partition: every(0, 4, 12),
      halfOpen: every(0, 4, 12),
      brokerRestart: every(0, 6, 24),
      disk: every(0, 0, 6, 12),
      clockStep: every(2, 6),
      longOutage: every(0, 0, 8),
      move: fogs === 2 ? every(0, 4, 8) : 0,
      zeroRegister: every(0, 0, 6),
    },
    rot: !calm && chance.happens(0.25),
    maxItems: chance.pick([10, 40, 1_000_000, 1_000_000]),
    restore: chance.happens(0.15),
  }
}

export const clear: Weather = { loss: 0, duplicate: 0, delayMs: 10, jitterMs: 0 }

function weatherOf(chance: Chance): Weather {
  return {
    loss: chance.pick([0, 0, 0.02, 0.1, 0.3]),
    duplicate: chance.pick([0, 0.02, 0.2]),
    delayMs: chance.pick([2, 20, 200]),
    jitterMs: chance.pick([0, 0, 100, 3_000]),
  }
}

/** About the same work for every seed: many readings a day, then fewer days. */
function hoursFor(chance: Chance, meters: number, intervalS: number): number {
  const readings = chance.int(200, 700)
  const hours = (readings * intervalS) / 3_600 / meters
  return Math.round(Math.max(4, Math.min(240, hours)))
}
