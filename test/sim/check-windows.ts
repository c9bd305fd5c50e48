import type { Summary } from '#messages'
import { status, timeQuality, timeQualityOf, type Reading } from '#reading'
import { windowEnd } from '#window'
import { latestWindows } from './cloud-view.ts'
import type { TrueBlock } from './truth.ts'
import type { World } from './world.ts'

interface Sums {
  readings: number
  powerSumW: number
  voltageSumDv: number
  importWh: number
  exportWh: number
}

const fields = ['readings', 'powerSumW', 'voltageSumDv', 'importWh', 'exportWh'] as const

/**
 * Adds up every block that any fog node holds, once, in the simplest way there is, and compares with
 * what all latest revisions in the cloud add up to. Returns the number of windows.
 */
export function checkWindows(world: World): number {
  const { truth, plan } = world
  const held = [...truth.meters.values()]
    .flatMap(({ blocks }) => blocks)
    .filter(({ whole }) => whole)
  // Readings without a time of their own are counted at one worked out later: only their sum is known.
  const undated = held.some(({ readings }) => readings.some(isUndated))
  const lengthS = undated ? Infinity : plan.windowSeconds
  const expected = expectedSums(held, lengthS)
  const found = foundSums(world, undated)
  const replaced = world.fogs.some(({ deviceId }) => truth.fog(deviceId).replaced > 0)
  for (const startS of new Set([...expected.keys(), ...found.keys()])) {
    const [wanted, got] = [expected.get(startS) ?? noSums(), found.get(startS) ?? noSums()]
    const same = fields.every((field) => wanted[field] === got[field])
    // A lost disk takes with it what was not summed up yet; never may anything be counted twice.
    const less =
      replaced && fields.every((field) => field === 'powerSumW' || got[field] <= wanted[field])
    if (!same && !less) {
      truth.violation(`window ${startS}: should be ${describe(wanted)}, is ${describe(got)}`)
    }
  }
  if (world.fogs.length === 1 && !replaced && !undated) checkExtremes(world, held)
  return found.size
}

const isUndated = (reading: Reading) => timeQualityOf(reading.status) === timeQuality.unknown

function describe(sums: Sums): string {
  const { readings, powerSumW, voltageSumDv, importWh, exportWh } = sums
  return `${readings} readings, ${powerSumW} W, ${voltageSumDv} dV, ${importWh}+${exportWh} Wh`
}

function noSums(): Sums {
  return { readings: 0, powerSumW: 0, voltageSumDv: 0, importWh: 0, exportWh: 0 }
}

function foundSums({ fogs, clouds }: World, together: boolean): Map<number, Sums> {
  const found = new Map<number, Sums>()
  for (const { deviceId } of fogs) {
    for (const [start, summary] of latestWindows(clouds, deviceId)) {
      const startS = together ? 0 : start
      const sums = found.get(startS) ?? noSums()
      for (const field of fields) sums[field] += summary[field]
      found.set(startS, sums)
    }
  }
  return found
}

function expectedSums(blocks: readonly TrueBlock[], lengthS: number): Map<number, Sums> {
  const windows = new Map<number, Sums>()
  for (const block of blocks) {
    // What was counted while a block was missing belongs to that block.
    let previous: Pick<Reading, 'importWh' | 'exportWh'> = {
      importWh: block.startImportWh,
      exportWh: block.startExportWh,
    }
    for (const reading of block.readings) {
      const startS = lengthS === Infinity ? 0 : windowEnd(reading.timeS, lengthS) - lengthS
      const sums = windows.get(startS) ?? noSums()
      windows.set(startS, sums)
      add(sums, reading, previous)
      previous = reading
    }
  }
  return windows
}

/** A new register whose value has nothing to do with the one before: no energy of its own. */
function startsAnew({ status: word }: Reading): boolean {
  const announced = (word & (status.registerReset | status.meterReplaced)) !== 0
  return announced && (word & status.registerContinued) === 0
}

function add(sums: Sums, reading: Reading, previous: Pick<Reading, 'importWh' | 'exportWh'>): void {
  sums.readings += 1
  sums.powerSumW += reading.powerW
  sums.voltageSumDv += reading.voltageDv ?? 0
  if (startsAnew(reading)) return
  sums.importWh += reading.importWh - previous.importWh
  sums.exportWh += reading.exportWh - previous.exportWh
}

/** Meters and extremes of each window, where nothing was ever taken out of one again. */
function checkExtremes({ truth, plan, clouds, fogs }: World, held: readonly TrueBlock[]): void {
  const byWindow = Map.groupBy(
    held.flatMap(({ deviceId, readings }) => readings.map((reading) => ({ deviceId, reading }))),
    ({ reading }) => windowEnd(reading.timeS, plan.windowSeconds) - plan.windowSeconds,
  )
  for (const [startS, summary] of latestWindows(clouds, fogs[0]!.deviceId)) {
    const members = byWindow.get(startS) ?? []
    const powers = members.map(({ reading }) => reading.powerW)
    const wanted = [
      new Set(members.map(({ deviceId }) => deviceId)).size,
      Math.min(...powers),
      Math.max(...powers),
    ].join('/')
    const got = extremesOf(summary)
    if (wanted !== got) truth.violation(`window ${startS}: meters/min/max ${got}, not ${wanted}`)
  }
}

function extremesOf({ meters, powerMinW, powerMaxW }: Summary): string {
  return [meters, powerMinW, powerMaxW].join('/')
}
