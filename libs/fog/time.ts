import { timeQuality, timeQualityOf, type Statement } from '#reading'
import type { IntervalReading } from '#window'
import type { Core } from './core.ts'
import { countDated } from './count.ts'
import {
  datedBy,
  estimated,
  estimateOffsets,
  groupsOf,
  learned,
  moved,
  readingsIn,
  withDating,
  type BootTime,
  type Waiting,
} from './dating.ts'
import type { Meter } from './meter.ts'

/** Readings one meter may keep waiting: a day of them at one a minute, and a bounded snapshot. */
const maxWaitingOfMeter = 2_048

const isUnknown = ({ status }: IntervalReading) => timeQualityOf(status) === timeQuality.unknown

/** What a committed block brought, its energy worked out already. */
export interface Arrival {
  statement: Statement
  readings: readonly IntervalReading[]
  committedS: number
  /** Readings are missing before it. */
  broken: boolean
}

/**
 * Counts the readings whose time is known. The others wait until it is: by the next good reading of
 * the meter, which dates its own boot exactly and bounds the ones before, or by `releaseOverdue`.
 */
export function settleTimes(core: Core, meter: Meter, arrival: Arrival): void {
  const { statement, readings, committedS, broken } = arrival
  // The statement has the worst quality of its readings.
  const allKnown = timeQualityOf(statement.status) !== timeQuality.unknown
  const known = allKnown ? readings : readings.filter((reading) => !isUnknown(reading))
  if (!allKnown) hold(core, meter, arrival)
  if (known.length === 0) return
  const { anchor, endTimeS } = statement
  const good = !isUnknown(readings.at(-1)!)
  if (good && anchor !== undefined) meter.bootTime = learned(anchor, endTimeS)
  release(core, meter, meter.waiting.length, known[0]!.timeS)
  countDated(core, meter, { readings: known, receivedS: committedS, broken, guessed: false })
}

function hold(core: Core, meter: Meter, { statement, readings, committedS }: Arrival): void {
  const unknown = readings.filter(isUnknown)
  const last = unknown.at(-1)!
  const anchor = last === readings.at(-1) ? statement.anchor : undefined
  const entry: Waiting = {
    boot: anchor?.boot ?? null,
    ageS: anchor?.ageS ?? last.timeS,
    committedS,
    sinceMs: core.clock.monotonic(),
    readings: unknown,
  }
  if (meter.bootTime?.boot === entry.boot) {
    countByBoot(core, meter, meter.bootTime, entry)
    return
  }
  meter.waiting.push(entry)
  core.waitingReadings += unknown.length
  const crowded = core.waitingReadings > core.settings.time.maxWaiting
  if (crowded || readingsIn(meter.waiting) > maxWaitingOfMeter)
    release(core, meter, meter.waiting.length, null)
}

function countByBoot(core: Core, meter: Meter, bootTime: BootTime, entry: Waiting): void {
  const readings = datedBy(bootTime, entry)
  const byS = bootTime.exact ? 0 : secondsTooEarly(core, readings)
  meter.bootTime = { ...bootTime, offsetS: bootTime.offsetS + byS }
  countEntry(core, meter, entry, moved(readings, byS))
}

/** A guessed time must not lead into windows that are over for good, where nothing counts any more. */
function secondsTooEarly({ windows }: Core, readings: readonly IntervalReading[]): number {
  return Math.max(0, windows.openFromS() - readings[0]!.timeS)
}

/** Dates and counts the oldest `count` entries; `beforeS` is the time of a good reading after them. */
function release(core: Core, meter: Meter, count: number, beforeS: number | null): void {
  const entries = meter.waiting.splice(0, count)
  if (entries.length === 0) return
  core.waitingReadings -= readingsIn(entries)
  const { lastNumber, lastS } = meter.rhythm
  let afterS = lastNumber > 0 ? lastS : null
  const groups = groupsOf(entries)
  // A boot that knows the time ends what is guessed: its blocks are exact.
  const exact = meter.bootTime
  const dark = groups.filter(([entry]) => exact === null || entry!.boot !== exact.boot)
  const lit = groups.find(([entry]) => exact !== null && entry!.boot === exact.boot)
  const litS = lit && exact ? datedBy(exact, lit[0]!)[0]!.timeS : null
  const offsets = estimateOffsets(dark, { afterS, beforeS: litS ?? beforeS })
  for (const group of groups) {
    const offsetS = offsets[dark.indexOf(group)]
    const first = group[0]!.readings[0]!.number
    const last = group.at(-1)!.readings.at(-1)!.number
    const runs = group.map((entry) =>
      offsetS === undefined ? datedBy(exact!, entry) : estimated(entry, offsetS),
    )
    const byS = offsetS === undefined ? 0 : secondsTooEarly(core, runs[0]!)
    for (const [index, entry] of group.entries()) {
      countEntry(core, meter, entry, moved(runs[index]!, byS))
    }
    tell(core, meter, { first, last, corrected: offsetS === undefined })
    // Nothing good came after it: the boot goes on, and what else it brings need not wait again.
    const { boot, ageS } = group.at(-1)!
    if (beforeS === null && boot !== null && offsetS != null) {
      meter.bootTime = { boot, offsetS: offsetS + byS, ageS, exact: false }
    }
  }
}

function countEntry(
  core: Core,
  meter: Meter,
  entry: Waiting,
  readings: readonly IntervalReading[],
): void {
  const guessed = timeQualityOf(readings[0]!.status) !== timeQuality.synchronised
  meter.datings = withDating(meter.datings, entry, readings)
  countDated(core, meter, { readings, receivedS: entry.committedS, broken: false, guessed })
}

function tell(
  core: Core,
  meter: Meter,
  { first, last, corrected }: { first: number; last: number; corrected: boolean },
): void {
  const timeS = meter.rhythm.lastS
  const detail = corrected
    ? `readings ${first} to ${last} were stamped without the time and are dated by their boot`
    : `readings ${first} to ${last} were stamped without the time and are dated by what they lie between`
  core.derived.add(corrected ? 'time-corrected' : 'time-estimated', meter.deviceId, timeS, detail)
}

/** Forgets waiting readings numbered `first` to `through`: another node counts them. */
export function dropWaiting(core: Core, meter: Meter, first: number, through: number): void {
  const kept = meter.waiting.map((entry) => ({
    ...entry,
    readings: entry.readings.filter(({ number }) => number < first || number > through),
  }))
  core.waitingReadings -= readingsIn(meter.waiting) - readingsIn(kept)
  meter.waiting = kept.filter(({ readings }) => readings.length > 0)
}

/**
 * Nothing waits for ever: readings that have waited `maxWaitMs` are dated as well as can be, whole
 * boots at a time.
 */
export function releaseOverdue(core: Core): void {
  if (core.waitingReadings === 0) return
  const { maxWaitMs } = core.settings.time
  const now = core.clock.monotonic()
  for (const meter of core.meters.values()) {
    const overdue = groupsOf(meter.waiting).filter(([entry]) => now - entry!.sinceMs >= maxWaitMs)
    const count = overdue.reduce((sum, group) => sum + group.length, 0)
    if (count > 0) release(core, meter, count, null)
  }
}
