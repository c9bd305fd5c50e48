import { countOf, type Block, type Reading, type Statement } from '#reading'
import { energyOf } from '#window'
import type { Core } from './core.ts'
import { positionAfter, type Meter } from './meter.ts'
import { continues } from './placement.ts'
import { noteStatement } from './registers.ts'

/** Committed blocks remembered per meter, to recognise repetitions: one sender's window of them. */
const recentKept = 64

/**
 * Everything a committed block changes in memory. It depends on nothing but what is durable, so a
 * restart that replays the same blocks in the same order arrives at the same state.
 */
export function applyBlock(core: Core, meter: Meter, block: Block, committedS: number): void {
  const { statement, readings } = block
  const continuous = continues(meter.durable, statement)
  if (!continuous) noteBreak(core, meter, statement)
  count(core, meter, block, continuous, committedS)
  meter.durable = positionAfter(statement)
  const { first, last, chain } = statement
  meter.recent.push({ first, last, chain })
  if (meter.recent.length > recentKept) meter.recent.shift()
  noteStatement(meter, block, core.settings.window.seconds)
  noteLatest(meter, readings)
  meter.dirty = true
  core.counters.blocks += 1
  core.counters.readings += readings.length
  if (readings.length === 0) core.counters.readingsGivenUp += countOf(statement)
}

function count(
  core: Core,
  meter: Meter,
  { statement, readings }: Block,
  continuous: boolean,
  committedS: number,
): void {
  if (readings.length === 0) return countNothing(core, meter, statement)
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

/**
 * Readings the meter gave up are in no window. The registers go on behind them, so that the next
 * interval does not show what all of them counted as one spike; the bill has it from the statements.
 */
function countNothing(core: Core, meter: Meter, statement: Statement): void {
  const { first, last, startTimeS, endImportWh, endExportWh } = statement
  const registers = { startImportWh: endImportWh, startExportWh: endExportWh }
  meter.energy = energyOf(meter.energy, { readings: [], ...registers, continuous: false }).track
  const detail = `the meter had no room for readings ${first} to ${last}; their registers are signed`
  core.derived.add('readings-given-up', meter.deviceId, startTimeS, detail)
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
