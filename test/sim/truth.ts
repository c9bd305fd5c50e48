/**
 * What really happened, written down beside the system and never asked by it: every reading and
 * block that became durable at a meter, every block and item that became durable at a fog node.
 */
import type { Reading } from '#reading'

export interface TrueBlock {
  deviceId: string
  first: number
  last: number
  body: Uint8Array
  /** Registers after the block before it, as signed. */
  startImportWh: number
  startExportWh: number
  readings: Reading[]
  /** Fog nodes that hold it durably. */
  heldBy: Set<string>
  /** One of them holds its readings too, not only what is signed about them. */
  whole: boolean
  /** The meter had no room and gave up its readings. */
  thinned: boolean
  /** The meter was told that it will never be accepted, or gave it up for a stated reason. */
  excused: string | null
  /** The code with which a fog node said that it never will be. */
  refused: string | null
}

export interface MeterTruth {
  deviceId: string
  readings: Map<number, Reading>
  blocks: TrueBlock[]
  /** Blocks up to here have been forgotten by the meter, and looked at. */
  checked: number
  /** Restored from an old copy: numbers may have come twice until the fog node said so. */
  forked: boolean
}

export interface FogTruth {
  deviceId: string
  /** In the order in which they became durable. */
  log: TrueBlock[]
  held: Map<string, Set<number>>
  items: Map<number, Uint8Array>
  acknowledged: number
  /** Items that had to make room before they were acknowledged. */
  givenUp: Set<number>
  /** Its disk was replaced by an empty one. */
  replaced: number
}

export interface Truth {
  meters: Map<string, MeterTruth>
  fogs: Map<string, FogTruth>
  byBody: Map<string, { block: TrueBlock; whole: boolean }>
  /** What must never happen, in words. */
  violations: string[]
  violation(text: string): void
  meter(deviceId: string): MeterTruth
  fog(deviceId: string): FogTruth
}

/** `nowMs` dates the violations. */
export function createTruth(nowMs: () => number): Truth {
  const truth: Truth = {
    meters: new Map(),
    fogs: new Map(),
    byBody: new Map(),
    violations: [],
    violation(text) {
      if (truth.violations.length < 20) {
        truth.violations.push(`${(nowMs() / 1000).toFixed(3)} s: ${text}`)
      }
    },
    meter(deviceId) {
      const known = truth.meters.get(deviceId)
      if (known) return known
      const fresh: MeterTruth = {
        deviceId,
        readings: new Map(),
        blocks: [],
        checked: 0,
        forked: false,
      }
      truth.meters.set(deviceId, fresh)
      return fresh
    },
    fog(deviceId) {
      const known = truth.fogs.get(deviceId)
      if (known) return known
      const fresh = newFogTruth(deviceId)
      truth.fogs.set(deviceId, fresh)
      return fresh
    },
  }
  return truth
}

function newFogTruth(deviceId: string): FogTruth {
  return {
    deviceId,
    log: [],
    held: new Map(),
    items: new Map(),
    acknowledged: 0,
    givenUp: new Set(),
    replaced: 0,
  }
}

/** Why a block need not arrive: one of its bits flipped on the meter's disk. */
export const rottenBlock = 'rotten'

/** Equal bytes of the same meter, equal keys. */
export function bodyKey(deviceId: string, body: Uint8Array): string {
  return `${deviceId} ${String.fromCharCode(...body)}`
}
