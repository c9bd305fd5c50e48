import { status, type Reading } from '#reading'
import { windowEnd } from '#window'
import {
  eventsOf,
  latestWindows,
  refusedOf,
  registersOf,
  totalsOf,
} from './cloud-view.ts'
import type { FogTruth, TrueBlock } from './truth.ts'
import type { World } from './world.ts'

/** What the final account counts, beside the violations it adds to the truth. */
export interface Account {
  readings: number
  blocks: number
  windows: number
  /** Readings that two fog nodes hold, because a meter moved before it heard the first one's receipt. */
  heldTwice: number
  refusedMeasurements: number
  excused: number
}

/** The account after everything has healed and drained: nothing lost, nothing counted twice. */
export function checkEnd(world: World): Account {
  checkDelivered(world)
  const windows = world.fogs.map(({ deviceId }) => checkWindows(world, world.truth.fog(deviceId)))
  checkRegisters(world)
  checkTotals(world)
  checkReports(world)
  const blocks = [...world.truth.meters.values()].flatMap((meter) => meter.blocks)
  return {
    readings: blocks.reduce((sum, block) => sum + block.readings.length, 0),
    blocks: blocks.length,
    windows: windows.reduce((sum, count) => sum + count, 0),
    heldTwice: blocks
      .filter((block) => block.heldBy.size > 1)
      .reduce((sum, block) => sum + block.readings.length, 0),
    refusedMeasurements: world.meters.reduce((sum, { refused }) => sum + refused, 0),
    excused: blocks.filter((block) => block.excused !== null).length,
  }
}

/** Every signed block is at a fog node; with two of them only where a meter moved. */
function checkDelivered({ truth, plan }: World): void {
  for (const meter of truth.meters.values()) {
    for (const block of meter.blocks) {
      const which = `${meter.deviceId} ${block.first} to ${block.last}`
      if (block.heldBy.size === 0 && block.excused === null && !meter.forked) {
        truth.violation(`${which} is at no fog node`)
      }
      if (block.heldBy.size > 1 && plan.everyHours.move === 0) {
        truth.violation(`${which} is at two fog nodes`)
      }
    }
  }
}

interface Sums {
  readings: number
  meters: Set<string>
  powerSumW: number
  powerMinW: number
  powerMaxW: number
  voltageSumDv: number
  importWh: number
  exportWh: number
}

/** Adds up a fog node's own log anew, in the simplest way there is, and compares with the cloud. */
function checkWindows(world: World, fog: FogTruth): number {
  const { truth, plan, clouds } = world
  const expected = windowsOf(fog, plan.windowSeconds)
  const found = latestWindows(clouds, fog.deviceId)
  if (fog.replaced > 0) return found.size
  for (const [startS, sums] of expected) {
    const summary = found.get(startS)
    const wanted = describe(sums, sums.meters.size)
    const got = summary === undefined ? 'nothing' : describe(summary, summary.meters)
    if (wanted !== got) {
      truth.violation(`${fog.deviceId} window ${startS}: should be ${wanted}, is ${got}`)
    }
  }
  for (const startS of found.keys()) {
    if (!expected.has(startS)) truth.violation(`${fog.deviceId} window ${startS} has no readings`)
  }
  return found.size
}

function describe(sums: Omit<Sums, 'meters'>, meters: number): string {
  const { readings, powerSumW, powerMinW, powerMaxW, voltageSumDv, importWh, exportWh } = sums
  const power = `${powerSumW}/${powerMinW}/${powerMaxW} W`
  return `${readings} of ${meters}, ${power}, ${voltageSumDv} dV, ${importWh}+${exportWh} Wh`
}

function windowsOf(fog: FogTruth, lengthS: number): Map<number, Sums> {
  const windows = new Map<number, Sums>()
  const before = new Map<string, TrueBlock>()
  for (const block of fog.log) {
    let previous: Pick<Reading, 'importWh' | 'exportWh'> = baseOf(block, before.get(block.deviceId))
    for (const reading of block.readings) {
      const startS = windowEnd(reading.timeS, lengthS) - lengthS
      const sums = windows.get(startS) ?? noSums()
      windows.set(startS, sums)
      add(sums, block.deviceId, reading, previous)
      previous = reading
    }
    before.set(block.deviceId, block)
  }
  return windows
}

/** What was counted while a block was missing belongs to that block, wherever it is. */
function baseOf(block: TrueBlock, before: TrueBlock | undefined) {
  const last = before?.readings.at(-1)
  if (last !== undefined && before?.last === block.first - 1) return last
  return { importWh: block.startImportWh, exportWh: block.startExportWh }
}

function noSums(): Sums {
  return {
    readings: 0,
    meters: new Set(),
    powerSumW: 0,
    powerMinW: Infinity,
    powerMaxW: -Infinity,
    voltageSumDv: 0,
    importWh: 0,
    exportWh: 0,
  }
}

function add(
  sums: Sums,
  deviceId: string,
  reading: Reading,
  previous: Pick<Reading, 'importWh' | 'exportWh'>,
): void {
  sums.readings += 1
  sums.meters.add(deviceId)
  sums.powerSumW += reading.powerW
  sums.powerMinW = Math.min(sums.powerMinW, reading.powerW)
  sums.powerMaxW = Math.max(sums.powerMaxW, reading.powerW)
  sums.voltageSumDv += reading.voltageDv ?? 0
  // A reading that announces a new register carries no energy of its own.
  if ((reading.status & (status.registerReset | status.meterReplaced)) !== 0) return
  sums.importWh += reading.importWh - previous.importWh
  sums.exportWh += reading.exportWh - previous.exportWh
}

/** Every register in the cloud says what its meter said, and the newest is the meter's last. */
function checkRegisters({ truth, clouds, meters }: World): void {
  const registers = registersOf(clouds)
  for (const [deviceId, entries] of registers) {
    const meter = truth.meter(deviceId)
    for (const { statement } of entries) {
      const said = meter.blocks.filter(({ last }) => last === statement.last)
      const same = said.some(({ readings }) => {
        const end = readings.at(-1)
        return end?.importWh === statement.endImportWh && end?.exportWh === statement.endExportWh
      })
      if (!same) truth.violation(`${deviceId} never signed a register at ${statement.last}`)
    }
  }
  for (const { deviceId } of meters) {
    const last = truth.meter(deviceId).blocks.findLast(({ excused }) => excused === null)
    const newest = Math.max(0, ...(registers.get(deviceId) ?? []).map((e) => e.statement.last))
    if (last !== undefined && newest !== last.last) {
      truth.violation(`the cloud's register of ${deviceId} is of ${newest}, not of ${last.last}`)
    }
  }
}

function checkTotals({ truth, fogs, clouds }: World): void {
  for (const { deviceId } of fogs) {
    for (const { kept, summed } of totalsOf(clouds, deviceId)) {
      const [a, b] = [JSON.stringify(kept), JSON.stringify(summed)]
      if (a !== b) truth.violation(`the cloud's totals of ${deviceId} are ${a}, should be ${b}`)
    }
  }
}

/** Reports of damage where none was done are wrong too. */
const alarming = /^(conflict|bad-signature|start-registers|chain-break|not-summed-up|register-(backwards|conflict|jump|restarted))/

function checkReports(world: World): void {
  const { truth, clouds, fogs, rotten } = world
  const damaged = rotten.length > 0 || fogs.some(({ deviceId }) => truth.fog(deviceId).replaced > 0)
  if (damaged) return
  for (const { fog, number, code } of refusedOf(clouds)) {
    truth.violation(`the cloud refused item ${number} of ${fog}: ${code}`)
  }
  for (const { code, fog, deviceId, detail } of eventsOf(clouds)) {
    if (alarming.test(code)) truth.violation(`${fog} reports ${code} of ${deviceId}: ${detail}`)
  }
}
