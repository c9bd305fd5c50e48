import { defaults } from '#defaults'
import { readingLimits, status, timeQuality, timeQualityOf, type Anchor } from '#reading'
import type { IntervalReading } from '#window'

/** Readings of one block whose times mean nothing, durable and waiting to be counted. */
export interface Waiting {
  /** The boot they belong to, null where the block does not say. */
  boot: number | null
  /** Age of the last reading; where there is no anchor, what the clock of that boot showed. */
  ageS: number
  /** Wall clock of the commit, s: they cannot be newer, if that clock is right. */
  committedS: number
  /** Monotonic ms since when they wait. */
  sinceMs: number
  readings: IntervalReading[]
}

/** How many readings these entries hold. */
export function readingsIn(waiting: readonly Waiting[]): number {
  return waiting.reduce((sum, { readings }) => sum + readings.length, 0)
}

/** What dates the readings of one boot: true time = `offsetS` + age. */
export interface BootTime {
  boot: number
  offsetS: number
  /** Age at which it was learned. */
  ageS: number
  /** Learned from the meter's own clock; otherwise worked out from what it lies between. */
  exact: boolean
}

/**
 * How readings of unknown time from `first` to `last` were counted: `byS` later than their clock said,
 * under this quality. Known readings in between are not meant.
 */
export interface Dating {
  first: number
  last: number
  byS: number
  quality: number
}

/** Remembered per meter: a boot in the dark makes one, unless its clock was moved. */
const datingsKept = 64

/** `datings` with what was counted of `entry`. */
export function withDating(
  datings: readonly Dating[],
  entry: Waiting,
  counted: readonly IntervalReading[],
): Dating[] {
  const [raw, dated] = [entry.readings.at(-1)!, counted.at(-1)!]
  const next = {
    first: entry.readings[0]!.number,
    last: raw.number,
    byS: dated.timeS - raw.timeS,
    quality: timeQualityOf(dated.status),
  }
  const before = datings.at(-1)
  const same = before?.byS === next.byS && before.quality === next.quality
  if (same) return [...datings.slice(0, -1), { ...before, last: next.last }]
  return [...datings.slice(1 - datingsKept), next]
}

/** A reading of unknown time as it was counted; as it is where that is not remembered any more. */
export function asCounted(datings: readonly Dating[], reading: IntervalReading): IntervalReading {
  const { number, timeS, status: word } = reading
  const dating = datings.find(({ first, last }) => first <= number && number <= last)
  if (dating === undefined) return reading
  const newWord = (word & ~status.timeQualityMask) | dating.quality
  return { ...reading, timeS: timeS + dating.byS, status: newWord }
}

/** What is known about when something happened; null for nothing. */
export interface Bounds {
  afterS: number | null
  beforeS: number | null
}

/** An age is good to 200 ppm: a day away from the moment the time was learned, 17 seconds. */
const exactForS = 86_400

/** The offset a block with anchor and good times gives away. */
export function learned(anchor: Anchor, endTimeS: number): BootTime {
  const { boot, ageS } = anchor
  return { boot, ageS, offsetS: endTimeS - ageS, exact: true }
}

/** The readings at the times a known offset gives them. */
export function datedBy({ offsetS, ageS, exact }: BootTime, entry: Waiting): IntervalReading[] {
  const near = Math.abs(entry.ageS - ageS) <= exactForS
  return shifted(entry, offsetS, exact && near ? timeQuality.synchronised : timeQuality.estimated)
}

/** Runs of blocks that one offset dates: the same boot, ages ascending. */
export function groupsOf(waiting: readonly Waiting[]): Waiting[][] {
  const groups: Waiting[][] = []
  for (const entry of waiting) {
    const group = groups.at(-1)
    const last = group?.at(-1)
    if (last?.boot === entry.boot && last.ageS <= firstAge(entry)) group?.push(entry)
    else groups.push([entry])
  }
  return groups
}

/**
 * The offset of each group from what it lies between: not before the last known time, not after the
 * next one, no block after its own commit. The latest offset that fits is taken, because a meter that
 * is connected delivers at once, and its commit times are then right to the second. Null where there
 * is nothing to go by.
 */
export function estimateOffsets(groups: readonly Waiting[][], bounds: Bounds): (number | null)[] {
  let beforeS = bounds.beforeS ?? Infinity
  const latest = groups.toReversed().map((group) => {
    const commits = group.map((entry) => trusted(entry.committedS) - entry.ageS)
    const offsetS = Math.min(beforeS - lastAge(group), ...commits)
    beforeS = offsetS + firstAge(group[0]!)
    return offsetS
  })
  let afterS = bounds.afterS ?? -Infinity
  return latest.toReversed().map((latestS, index) => {
    const group = groups[index]!
    const earliestS = afterS - firstAge(group[0]!)
    const offsetS = Number.isFinite(latestS) ? Math.max(latestS, earliestS) : earliestS
    if (!Number.isFinite(offsetS)) return null
    afterS = offsetS + lastAge(group)
    return offsetS
  })
}

/** The readings under an estimated offset; with none, as they are. */
export function estimated(entry: Waiting, offsetS: number | null): IntervalReading[] {
  return offsetS === null ? entry.readings : shifted(entry, offsetS, timeQuality.estimated)
}

/** The readings `byS` later, as good or bad as they were. */
export function moved(readings: IntervalReading[], byS: number): IntervalReading[] {
  return byS === 0 ? readings : readings.map((r) => ({ ...r, timeS: r.timeS + byS }))
}

function shifted(entry: Waiting, offsetS: number, quality: number): IntervalReading[] {
  const byS = offsetS + entry.ageS - entry.readings.at(-1)!.timeS
  return entry.readings.map((reading) => ({
    ...reading,
    timeS: Math.min(readingLimits.timeS, Math.max(0, reading.timeS + byS)),
    status: (reading.status & ~status.timeQualityMask) | quality,
  }))
}

function firstAge({ ageS, readings }: Waiting): number {
  return ageS - (readings.at(-1)!.timeS - readings[0]!.timeS)
}

function lastAge(group: readonly Waiting[]): number {
  return group.at(-1)!.ageS
}

function trusted(committedS: number): number {
  return committedS < defaults.neverSetS ? Infinity : committedS
}
