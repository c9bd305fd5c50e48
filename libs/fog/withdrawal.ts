import { encodeItem } from '#messages'
import { timeQuality, timeQualityOf } from '#reading'
import { energyOf, type IntervalReading } from '#window'
import { saveCheckpoint } from './checkpoint.ts'
import { wallS, type Core } from './core.ts'
import { asCounted } from './dating.ts'
import { blocksFrom } from './log.ts'
import { positionAfter, type Meter, type Position, type Run } from './meter.ts'
import { continues } from './placement.ts'
import { dropWaiting } from './time.ts'

export interface Range {
  deviceId: string
  /** Names the run; see `Run`. */
  first: number
  through: number
}

/**
 * Another node counts these numbers too, and the cloud found that they are its to count. They stay
 * in the log and receipted; only the windows let go of them. Asking again changes nothing.
 */
export function withdrawRange(core: Core, range: Range): void {
  const meter = core.meters.get(range.deviceId)
  const run = meter?.runs.find(({ first }) => first === range.first)
  if (meter === undefined || run === undefined)
    return refuse(core, range, 'this node knows of no such run')
  const through = Math.min(range.through, meter.durable.number)
  if (through <= run.withdrawn) return
  const found = readingsOf(core, meter, run, through)
  if (found === null)
    return refuse(core, range, 'the log does not reach back so far, or is damaged there')
  const { summaries, ...taken } = core.windows.withdraw({
    meter: meter.id ?? 0,
    readings: found.readings,
    otherThroughS: run.beforeS,
    otherFromS: found.nextS,
  })
  dropWaiting(core, meter, run.withdrawn + 1, through)
  run.taken = {
    readings: run.taken.readings + taken.readings,
    importWh: run.taken.importWh + taken.importWh,
    exportWh: run.taken.exportWh + taken.exportWh,
  }
  run.withdrawn = through
  meter.dirty = true
  core.counters.revisions += summaries.length
  for (const summary of summaries) core.unsavedItems.push(encodeItem({ type: 'summary', summary }))
  // Behind the revisions: when the cloud reads this, it has what follows from it.
  core.unsavedItems.push(withdrawnItem(meter.deviceId, run))
  saveCheckpoint(core)
}

/** The answer to the cloud: what of a run is not counted any more, all of it together. */
export function withdrawnItem(
  deviceId: string,
  { first, withdrawn: through, taken }: Run,
): Uint8Array {
  return encodeItem({ type: 'withdrawn', withdrawn: { deviceId, first, through, ...taken } })
}

interface Found {
  readings: IntervalReading[]
  /** Time of the first reading after them; Infinity when there is none. */
  nextS: number
}

/**
 * What the run's readings after `run.withdrawn` up to `through` were counted as: the log replayed
 * from where the run began. Null when pruning has taken the beginning, or a disk a part of it.
 */
function readingsOf(core: Core, meter: Meter, run: Run, through: number): Found | null {
  const found: Found = { readings: [], nextS: Infinity }
  const waiting = new Set(
    meter.waiting.flatMap(({ readings }) => readings.map(({ number }) => number)),
  )
  let track = run.energy
  let before: Position | null = null
  for (const block of blocksFrom(core, meter, run)) {
    if (block === null) return null
    const { statement, readings } = block
    const { startImportWh, startExportWh } = statement
    const continuous = before === null ? run.continuous : continues(before, statement)
    const energy = energyOf(track, { readings, startImportWh, startExportWh, continuous })
    track = energy.track
    before = positionAfter(statement)
    for (const reading of energy.readings) {
      const { number, status } = reading
      // What still waits for its time is in no window yet.
      if (number <= run.withdrawn || waiting.has(number)) continue
      const unknown = timeQualityOf(status) === timeQuality.unknown
      const counted = unknown ? asCounted(meter.datings, reading) : reading
      if (number > through) found.nextS = Math.min(found.nextS, counted.timeS)
      else found.readings.push(counted)
    }
    if (statement.last > through) break
  }
  return found
}

function refuse(core: Core, { deviceId, first, through }: Range, why: string): void {
  const detail = `readings ${first} to ${through} stay counted here: ${why}`
  core.events.add('not-withdrawn', deviceId, wallS(core), detail)
}
