import { status, timeQuality, timeQualityOf, type Anchor } from '#reading'
import type { OpenRecord } from './record.ts'
import type { Boot, Measurement } from './types.ts'

/** A moment as a meter knows it: what its clock shows, how far to trust that, and its age. */
export interface Moment {
  timeS: number
  /** `timeQuality` of #reading. */
  quality: number
  anchor: Anchor | null
}

/** A clock may be this far off from one reading to the next, in seconds and in parts of the time between. */
const tolerance = { seconds: 10, parts: 1 / 1_000 }

export function momentOf({ reading, anchor }: OpenRecord): Moment {
  return { timeS: reading.timeS, quality: timeQualityOf(reading.status), anchor }
}

/**
 * Where on the monotonic clock a measurement lies, null when that is not known or of no interest: a
 * source that does not tell is asked only until the first block that is right again has ended.
 * `recent` are the newest reading and the newest signed one.
 */
export function anchorOf(
  boot: Boot | undefined,
  { ageS, timeQuality: quality = timeQuality.synchronised }: Measurement,
  recent: readonly (OpenRecord | null)[],
): Anchor | null {
  if (boot === undefined) return null
  if (ageS !== undefined) return { boot: boot.id, ageS }
  const words = [quality, ...recent.map((record) => record?.reading.status ?? 0)]
  const matters = words.some((word) => timeQualityOf(word) === timeQuality.unknown)
  return matters ? { boot: boot.id, ageS: boot.ageS() } : null
}

/** True when `timeS` says nothing about the true time. */
function isUnknown({ quality }: Moment): boolean {
  return quality === timeQuality.unknown
}

/** Seconds on the monotonic clock from `a` to `b`, null when no boot spans both. */
function ageBetween(a: Moment, b: Moment): number | null {
  if (a.anchor === null || b.anchor === null || a.anchor.boot !== b.anchor.boot) return null
  return b.anchor.ageS - a.anchor.ageS
}

/** How far the clock was moved between two readings, beyond what clocks and roundings do; else 0. */
function movedBy(a: Moment, b: Moment): number {
  const age = ageBetween(a, b)
  const shown = b.timeS - a.timeS
  // Without ages only a step back can be told from time that passed.
  if (age === null) return isUnknown(a) || isUnknown(b) || shown > -tolerance.seconds ? 0 : shown
  const moved = shown - age
  return Math.abs(moved) <= tolerance.seconds + age * tolerance.parts ? 0 : moved
}

/**
 * A clock that was thought right was set. A clock that learns the time, or an unset one that starts
 * again, is not meant: its readings say so themselves.
 */
export function clockStepped(a: Moment, b: Moment): boolean {
  return !isUnknown(a) && !isUnknown(b) && movedBy(a, b) !== 0
}

/**
 * True when the times of both are of one kind and one clock, so that one anchor dates both: a block
 * holds only such readings.
 */
export function sameTimeBase(a: Moment, b: Moment): boolean {
  if (isUnknown(a) !== isUnknown(b)) return false
  // Good times of the next boot would not date what this one signed in the dark.
  const bothTold = a.anchor !== null && b.anchor !== null
  if ((bothTold || isUnknown(a)) && a.anchor?.boot !== b.anchor?.boot) return false
  return movedBy(a, b) === 0
}

/** Seconds that passed from `a` to `b`, null when nobody knows: then no energy is integrated. */
export function elapsedSeconds(a: Moment, b: Moment): number | null {
  const age = ageBetween(a, b)
  if (age !== null && !sameTimeBase(a, b)) return age
  const unrelated = age === null && (isUnknown(a) || isUnknown(b))
  if (unrelated && !(isUnknown(a) && isUnknown(b) && a.anchor === null && b.anchor === null)) {
    return null
  }
  const shown = b.timeS - a.timeS
  return shown < 0 ? null : shown
}

/**
 * The anchor a block carries: that of its last reading, where its times mean nothing, or where they
 * are right again and thereby date what the same boot signed before.
 */
export function blockAnchor(before: OpenRecord | null, open: readonly OpenRecord[]): Anchor | null {
  const [first, last] = [open[0], open.at(-1)]
  if (first === undefined || last === undefined || last.anchor === null) return null
  const news = before !== null && isUnknown(momentOf(before))
  const stepped = (first.reading.status & status.clockStep) !== 0
  return isUnknown(momentOf(last)) || news || stepped ? last.anchor : null
}
