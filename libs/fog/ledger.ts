import type { Block, Reading, Statement } from '#reading'
import { energyOf } from '#window'
import type { Core } from './core.ts'
import { positionAfter, type Meter } from './meter.ts'
import { continues } from './placement.ts'
import { noteStatement } from './registers.ts'

/** Committed blocks remembered per meter, to recognise repetitions: one sender's window of them. */
const recentKept = 64
/** Runs remembered per meter: one that moves to and fro every day is known for a fortnight. */
const runsKept = 16

/**
 * Everything a committed block changes in memory. It depends on nothing but what is durable, so a
 * restart that replays the same blocks in the same order arrives at the same state. The block's
 * group is `core.lastGroupId`.
 */
export function applyBlock(core: Core, meter: Meter, block: Block, committedS: number): void {
  const { statement, readings } = block
  const continuous = continues(meter.durable, statement)
  if (!continuous) noteBreak(core, meter, statement)
  if (beginsRun(meter, statement)) beginRun(core, meter, statement.first)
  count(core, meter, block, continuous, committedS)
  meter.durable = positionAfter(statement)
  const { first, last, chain } = statement
  meter.recent.push({ first, last, chain })
  if (meter.recent.length > recentKept) meter.recent.shift()
  noteStatement(meter, block, core.settings.window.seconds)
  noteLatest(meter, readings)
  meter.countedS = Math.max(meter.countedS, statement.endTimeS)
  meter.dirty = true
  core.counters.blocks += 1
  core.counters.readings += readings.length
}

function beginsRun({ durable }: Meter, { first }: Statement): boolean {
  return durable.number === 0 || first > durable.number + 1
}

function beginRun(core: Core, meter: Meter, first: number): void {
  meter.runs.push({
    first,
    groupId: core.lastGroupId,
    energy: meter.energy,
    beforeS: meter.countedS,
    withdrawn: first - 1,
    taken: { readings: 0, importWh: 0, exportWh: 0 },
  })
  if (meter.runs.length > runsKept) meter.runs.shift()
}

function count(
  core: Core,
  meter: Meter,
  { statement, readings }: Block,
  continuous: boolean,
  committedS: number,
): void {
  const { startImportWh, startExportWh } = statement
  const nowMs = core.clock.monotonic()
  const energy = energyOf(meter.energy, { readings, startImportWh, startExportWh, continuous })
  meter.energy = energy.track
  for (const { code, register, number, timeS, fromWh, toWh } of energy.events) {
    const detail = `${register} register from ${fromWh} to ${toWh} Wh at reading ${number}`
    core.derived.add(code, meter.deviceId, timeS, detail)
  }
  const index = meter.id ?? 0
  const added = { meter: index, readings: energy.readings, receivedS: committedS, nowMs }
  for (const { timeS } of core.windows.add(added)) {
    const detail = `a reading stamped ${timeS} is stored but fits no window`
    core.derived.add('not-summed-up', meter.deviceId, timeS, detail)
  }
  core.lastAppliedMs = nowMs
}

function noteBreak(core: Core, meter: Meter, statement: Statement): void {
  const expected = meter.durable.number + 1
  const timeS = statement.startTimeS
  if (statement.first > expected) {
    const detail = `readings ${expected} to ${statement.first - 1} are not stored at this node`
    core.derived.add('gap', meter.deviceId, timeS, detail)
    return
  }
  const detail =
    `block ${statement.first} to ${statement.last} does not continue the stored history: ` +
    'the meter was restored from a backup, or two devices use its key'
  core.derived.add('chain-break', meter.deviceId, timeS, detail)
}

function noteLatest(meter: Meter, readings: readonly Reading[]): void {
  const newest = readings.at(-1)
  if (newest && (meter.latest === null || newest.number > meter.latest.number)) {
    meter.latest = newest
  }
}
