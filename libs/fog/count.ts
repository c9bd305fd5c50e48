import { status, timeQuality, timeQualityOf } from '#reading'
import type { IntervalReading } from '#window'
import type { Core } from './core.ts'
import { doubtful, doubtsOf, extendGap, noteGap } from './gaps.ts'
import type { Meter } from './meter.ts'

/** Readings whose time is settled, from one commit. */
export interface Dated {
  readings: readonly IntervalReading[]
  /** Wall clock of the commit, s: a label. */
  receivedS: number
  /** Readings are missing before the first one. */
  broken: boolean
  /** The times are this node's estimate. */
  guessed: boolean
}

/** A clock that goes back by less was only adjusted. */
const adjustedS = 10
/** A silence is at least this long, whatever the rhythm. */
const shortestSilenceS = 60

/** Puts readings into their windows, each once, and notes what is odd about their times. */
export function countDated(core: Core, meter: Meter, dated: Dated): void {
  const { readings, receivedS, broken, guessed } = dated
  if (readings.length === 0) return
  const nowMs = core.clock.monotonic()
  let first = broken
  for (const reading of readings) {
    lookAtTime(core, meter, reading, first)
    first = false
  }
  const added = { meter: meter.id ?? 0, readings, receivedS, nowMs, guessed }
  for (const reading of core.windows.add(added)) {
    extendGap(core, meter, 'not-summed', reading as IntervalReading)
    const detail = `a reading stamped ${reading.timeS} is stored but fits no window`
    core.derived.add('not-summed-up', meter.deviceId, reading.timeS, detail)
  }
  core.lastAppliedMs = nowMs
  meter.countedS = Math.max(meter.countedS, readings.at(-1)!.timeS)
  meter.dirty = true
}

function lookAtTime(core: Core, meter: Meter, reading: IntervalReading, broken: boolean): void {
  const { number, timeS, status: word } = reading
  if ((word & doubtful) !== 0) {
    for (const kind of doubtsOf(word)) extendGap(core, meter, kind, reading)
  }
  const quality = timeQualityOf(word)
  if (quality === timeQuality.unknown) return
  const { rhythm } = meter
  const guessed = quality !== timeQuality.synchronised
  const stepS = timeS - rhythm.lastS
  if (rhythm.lastNumber > 0) {
    const back = stepS < -adjustedS && !guessed && !rhythm.guessed
    if (back || (word & status.clockStep) !== 0) noteStep(core, meter, reading, stepS)
    else if (!broken) lookAtSilence(core, meter, reading, stepS)
    if (stepS > 0) {
      rhythm.stepBeforeS = rhythm.stepS
      rhythm.stepS = stepS
    }
  }
  rhythm.lastS = timeS
  rhythm.lastNumber = number
  rhythm.guessed = guessed
}

function noteStep(core: Core, meter: Meter, reading: IntervalReading, stepS: number): void {
  const how = stepS < 0 ? `${-stepS} s before` : `${stepS} s after`
  const detail = `its clock was set: reading ${reading.number} is stamped ${how} the one before it`
  core.derived.add('clock-step', meter.deviceId, reading.timeS, detail)
}

/** Longer than several of the usual steps: the shorter of the last two, so that one pause is none. */
function lookAtSilence(core: Core, meter: Meter, reading: IntervalReading, stepS: number): void {
  const { stepS: lastStepS, stepBeforeS, lastS, lastNumber } = meter.rhythm
  const usualS = Math.min(lastStepS, stepBeforeS)
  if (usualS === 0) return
  if (stepS <= Math.max(core.settings.time.silenceIntervals * usualS, shortestSilenceS)) return
  const { number, timeS, importWh, exportWh } = reading
  noteGap(core, {
    deviceId: meter.deviceId,
    kind: 'silence',
    first: lastNumber,
    last: number,
    startS: lastS,
    endS: timeS,
    readings: 0,
    importWh,
    exportWh,
  })
}
