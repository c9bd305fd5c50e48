import type { Gap } from '#messages'
import { countOf, timeQuality, timeQualityOf } from '#reading'
import type { Block, Reading, Statement } from '#reading'
import { energyOf } from '#window'
import type { Core } from './core.ts'
import { noteGap } from './gaps.ts'
import { positionAfter, type Meter } from './meter.ts'
import { continues } from './placement.ts'
import { noteStatement } from './registers.ts'
import { settleTimes } from './time.ts'

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
  if (readings.length === 0) endRun(meter)
  else if (beginsRun(meter, statement)) beginRun(core, meter, statement.first, continuous)
  noteSkipped(core, meter, statement)
  count(core, meter, block, continuous, committedS)
  meter.durable = positionAfter(statement)
  const { first, last, chain } = statement
  meter.recent.push({ first, last, chain })
  if (meter.recent.length > recentKept) meter.recent.shift()
  noteStatement(meter, block, core.settings.window.seconds, core.clock.monotonic())
  noteLatest(meter, readings)
  meter.countedS = Math.max(meter.countedS, statement.endTimeS)
  meter.dirty = true
  core.counters.blocks += 1
  core.counters.readings += readings.length
  if (readings.length === 0) core.counters.readingsGivenUp += countOf(statement)
}

function beginsRun({ durable, runs }: Meter, { first }: Statement): boolean {
  const run = runs.at(-1)
  return run === undefined || run.ended || first > durable.number + 1
}

/** Readings given up by their meter are not counted here; another node may have had them before. */
function endRun(meter: Meter): void {
  const run = meter.runs.at(-1)
  if (run) run.ended = true
}

function beginRun(core: Core, meter: Meter, first: number, continuous: boolean): void {
  meter.runs.push({
    first,
    ended: false,
    continuous,
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
  if (readings.length === 0) return countNothing(core, meter, statement)
  const { startImportWh, startExportWh } = statement
  const energy = energyOf(meter.energy, { readings, startImportWh, startExportWh, continuous })
  meter.energy = energy.track
  for (const { code, register, number, timeS, fromWh, toWh } of energy.events) {
    const detail = `${register} register from ${fromWh} to ${toWh} Wh at reading ${number}`
    core.derived.add(code, meter.deviceId, timeS, detail)
  }
  // Whether counted now or later: something came in.
  core.lastAppliedMs = core.clock.monotonic()
  const broken = !continuous
  settleTimes(core, meter, { statement, readings: energy.readings, committedS, broken })
}

/** Numbers the meter never used: no reading is missing, but the row has a hole. */
function noteSkipped(core: Core, meter: Meter, { skipped }: Statement): void {
  for (const [from, last] of skipped) {
    const first = Math.max(from, meter.durable.number + 1)
    if (first > last) continue
    noteGap(core, { ...hole(meter, first, last), kind: 'skipped' })
  }
}

function hole(meter: Meter, first: number, last: number): Omit<Gap, 'kind'> {
  const { lastNumber, lastS } = meter.rhythm
  const startS = lastNumber > 0 ? lastS : null
  const { deviceId } = meter
  return { deviceId, first, last, startS, endS: null, readings: 0, importWh: null, exportWh: null }
}

/** What the registers say was used across numbers that are not stored here. */
function noteMissing(core: Core, meter: Meter, statement: Statement): void {
  const { importWh, exportWh, number } = meter.durable
  const known = timeQualityOf(statement.status) !== timeQuality.unknown
  noteGap(core, {
    ...hole(meter, number + 1, statement.first - 1),
    kind: 'missing',
    endS: known ? statement.startTimeS : null,
    importWh: risen(importWh, statement.startImportWh),
    exportWh: risen(exportWh, statement.startExportWh),
  })
}

function risen(fromWh: number | null, toWh: number): number | null {
  return fromWh === null || toWh < fromWh ? null : toWh - fromWh
}

/**
 * Readings the meter gave up are in no window. The registers go on behind them, so that the next
 * interval does not show what all of them counted as one spike; the bill has it from the statements.
 */
function countNothing(core: Core, meter: Meter, statement: Statement): void {
  const { first, last, startTimeS, startImportWh, startExportWh } = statement
  const { endTimeS, endImportWh, endExportWh } = statement
  noteGap(core, {
    ...hole(meter, first, last),
    kind: 'missing',
    endS: endTimeS,
    importWh: risen(startImportWh, endImportWh),
    exportWh: risen(startExportWh, endExportWh),
  })
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
    noteMissing(core, meter, statement)
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
