import { addChecksum, dropChecksum } from '#bytes'
import { encode, decode } from '#cbor'
import type { Summary } from '#messages'
import { timeQuality, timeQualityOf } from '#reading'
import {
  addReading,
  fits,
  fitTogether,
  mergeTotals,
  removeReading,
  summaryOf,
  type EnergyReading,
  type Totals,
} from './accumulator.ts'
import { windowEnd } from './boundaries.ts'
import { countMeters, removeMeter } from './meter-set.ts'
import { isDue, type WindowSettings } from './due.ts'
import { damaged, decodeWindow, encodeWindow, newWindow } from './state.ts'
import type { Window, WindowRow } from './state.ts'
import { watermarkS, type MeterProgress } from './watermark.ts'

/** Readings of one meter that became durable together. */
export interface Addition {
  /** A small integer of this fog's own for the meter, from 0. */
  meter: number
  readings: readonly EnergyReading[]
  /** Wall clock of the commit, s: a label only. */
  receivedS: number
  /** Monotonic ms of now. */
  nowMs: number
  /** The times are a guess of this node's: they have no say in how far time has come. */
  guessed?: boolean
}

/** Readings of one meter that are to be counted no more. */
export interface Withdrawal {
  meter: number
  /** Exactly as they were added. */
  readings: readonly EnergyReading[]
  /** The meter's other readings, as far as these may share a window with them: before and after. */
  otherThroughS: number
  otherFromS: number
}

/** What left the windows, and the revisions without it. */
export interface Withdrawn {
  readings: number
  importWh: number
  exportWh: number
  summaries: Summary[]
}

export interface WindowStats {
  /** Windows in memory, those with something not issued yet, and of these the withheld ones. */
  held: number
  pending: number
  withheld: number
  withheldReadings: number
  /** As of the last `close`; null without an active meter. */
  watermarkS: number | null
}

/** After a clock step the times around a reading say little; but what is left is somebody's. */
function isOfOneMeter({ meters, readings }: Totals): boolean {
  return readings > 0 && countMeters(meters) === 1
}

/** Each window once, the earliest first. */
function inOrder(windows: Iterable<Window>): Window[] {
  return [...new Set(windows)].toSorted((a, b) => a.endS - b.endS)
}

function countPending(windows: Iterable<Window>): number {
  const pending = new Set<Window>()
  for (const window of windows) if (window.pending) pending.add(window)
  return pending.size
}

/** Row key of the horizon, which no window can have. */
const HORIZON_KEY = -1

function horizonFrom(state: Uint8Array): number {
  try {
    const value = decode(dropChecksum(state))
    if (typeof value === 'number') return value
  } catch (error) {
    throw damaged(HORIZON_KEY, error)
  }
  throw damaged(HORIZON_KEY)
}

export type Windows = ReturnType<typeof createWindows>

/**
 * The windows of one fog node, guarding the totals. Time comes with each call, so the same calls
 * always give the same summaries.
 */
export function createWindows(settings: WindowSettings) {
  const lengthS = settings.seconds
  /** By the end of every window length a window covers; merged ones appear several times. */
  const byEnd = new Map<number, Window>()
  const progress = new Map<number, MeterProgress>()
  const removed = new Set<number>()
  let horizonS = 0
  let horizonDirty = false
  let reachedS: number | null = null
  let lastAddedMs = Number.NEGATIVE_INFINITY

  /**
   * Adds readings; returns those that were not taken, for an event: their window was forgotten,
   * there are too many windows, or one would grow beyond exact sums.
   */
  function add({ meter, readings, receivedS, nowMs, guessed }: Addition): EnergyReading[] {
    const refused = readings.filter((reading) => !addOne(meter, reading, receivedS, nowMs))
    const newest = readings.at(-1)
    if (newest === undefined) return refused
    // A clock the meter itself calls unknown has no say in how far time has come.
    if (!guessed && timeQualityOf(newest.status) !== timeQuality.unknown) {
      progress.set(meter, { timeS: newest.timeS, seenMs: nowMs })
    }
    if (refused.length < readings.length) lastAddedMs = nowMs
    return refused
  }

  function addOne(meter: number, reading: EnergyReading, receivedS: number, nowMs: number) {
    const endS = windowEnd(reading.timeS, lengthS)
    const window = byEnd.get(endS) ?? openWindow(endS, nowMs)
    if (window === null || !fits(window.totals, reading)) return false
    if (window.totals.readings === 0) byEnd.set(endS, window)
    addReading(window.totals, meter, reading, receivedS)
    if (!window.pending) window.pendingSinceMs = nowMs
    window.pending = true
    window.addedMs = nowMs
    window.dirty = true
    return true
  }

  /** Takes readings back and issues the windows anew that showed them. */
  function withdraw({ meter, readings, otherThroughS, otherFromS }: Withdrawal): Withdrawn {
    const touched = new Set<Window>()
    const taken = { readings: 0, importWh: 0, exportWh: 0 }
    for (const reading of readings) {
      const window = byEnd.get(windowEnd(reading.timeS, lengthS))
      // Forgotten windows stay as the cloud has them; so does what never got into one.
      if (window === undefined || window.totals.readings === 0) continue
      removeReading(window.totals, reading)
      touched.add(window)
      taken.readings += 1
      taken.importWh += reading.importWh
      taken.exportWh += reading.exportWh
    }
    for (const window of touched) {
      const others =
        window.startS < otherThroughS || window.endS >= otherFromS || isOfOneMeter(window.totals)
      if (!others) window.totals.meters = removeMeter(window.totals.meters, meter)
      window.pending = window.issued > 0 || window.totals.readings > 0
      window.dirty = true
    }
    return { ...taken, summaries: issue((window) => touched.has(window) && window.issued > 0) }
  }

  function openWindow(endS: number, nowMs: number): Window | null {
    if (endS <= horizonS || byEnd.size >= settings.maxWindows) return null
    return newWindow(endS - lengthS, endS, nowMs, reachedS !== null && endS <= reachedS)
  }

  /** The summaries that are due by now, in order of time; each counts as issued. */
  function close(nowMs: number): Summary[] {
    forgetSilentMeters(nowMs)
    const { activeSeconds, graceSeconds } = settings
    reachedS = watermarkS(progress.values(), nowMs, activeSeconds * 1000, graceSeconds)
    const idle = nowMs - lastAddedMs >= settings.idleSeconds * 1000
    return issue((window) => idle || isDue(window, settings, reachedS, nowMs))
  }

  /** Issues everything that is not withheld, due or not: for an orderly end. */
  function closeAll(): Summary[] {
    return issue(() => true)
  }

  function forgetSilentMeters(nowMs: number): void {
    for (const [meter, { seenMs }] of progress) {
      if (nowMs - seenMs > settings.activeSeconds * 1000) progress.delete(meter)
    }
  }

  function issue(due: (window: Window) => boolean): Summary[] {
    const summaries: Summary[] = []
    const pending = [...byEnd.values()].filter((window) => window.pending)
    for (const window of inOrder(pending)) {
      // Merging may have emptied it since.
      if (!window.pending || !due(window)) continue
      if (isSmall(window)) {
        mergeIntoNext(window)
        continue
      }
      summaries.push(summaryOf(window.totals, window.startS, window.endS, window.issued))
      window.issued += 1
      window.pending = false
      window.dirty = true
    }
    return summaries
  }

  /** Too few meters to be shown without showing one household; once issued it stays issued. */
  function isSmall({ issued, totals }: Window): boolean {
    return issued === 0 && countMeters(totals.meters) < settings.minMeters
  }

  /**
   * Gives a small window to the next one that is not issued yet. It is withheld while there is
   * none, when an issued one follows (summaries must never overlap), or when both together would
   * hold more readings than one window may.
   */
  function mergeIntoNext(small: Window): void {
    const next = following(small)
    if (next === null || next.issued > 0 || !fitTogether(small.totals, next.totals)) return
    next.totals = mergeTotals(small.totals, next.totals)
    removed.add(next.startS)
    next.startS = small.startS
    removed.delete(next.startS)
    next.late ||= small.late
    next.pendingSinceMs = Math.min(next.pendingSinceMs, small.pendingSinceMs)
    next.dirty = true
    // Merged away: nothing is left to issue here.
    small.pending = false
    index(next)
  }

  function following({ endS }: Window): Window | null {
    const lastS = endS + settings.maxMergeSeconds
    for (let end = endS + lengthS; end <= lastS; end += lengthS) {
      const window = byEnd.get(end)
      if (window !== undefined) return window
    }
    return null
  }

  function index(window: Window): void {
    for (let end = window.startS + lengthS; end <= window.endS; end += lengthS) {
      byEnd.set(end, window)
    }
  }

  function all(): Window[] {
    return inOrder(byEnd.values())
  }

  /**
   * Drops issued and withheld windows that end at or before `timeS`. Readings for them are refused
   * from now on: a revision without the earlier readings would replace full totals by partial ones.
   * A window that got something after `quietSinceMs` (monotonic) stays, whatever clocks say.
   */
  function forgetThrough(timeS: number, quietSinceMs = Number.POSITIVE_INFINITY): void {
    for (const window of all()) {
      if (window.endS > timeS || (window.pending && !isSmall(window))) continue
      if (window.addedMs > quietSinceMs) continue
      // As far as windows were forgotten and no further: other old readings can have theirs.
      if (window.issued > 0) horizonS = Math.max(horizonS, window.endS)
      for (let end = window.startS + lengthS; end <= window.endS; end += lengthS) byEnd.delete(end)
      removed.add(window.startS)
    }
    horizonDirty = true
  }

  /** Every window as last issued, but for those whose next revision is on its way. */
  function lastIssued(): Summary[] {
    return all()
      .filter((window) => window.issued > 0 && !window.pending)
      .map(({ totals, startS, endS, issued: next }) => summaryOf(totals, startS, endS, next - 1))
  }

  /** Drops the window from `startS`, whatever it holds; false when there is none. */
  function drop(startS: number): boolean {
    const window = all().find((candidate) => candidate.startS === startS)
    if (window === undefined) return false
    for (let end = startS + lengthS; end <= window.endS; end += lengthS) byEnd.delete(end)
    removed.add(startS)
    return true
  }

  /** All rows of a checkpoint. */
  function snapshot(): WindowRow[] {
    const rows = all().map((window) => ({ startS: window.startS, state: encodeWindow(window) }))
    return horizonS > 0 ? [horizonRow(), ...rows] : rows
  }

  /** Rows to write and row keys to delete since the last `saved()`. */
  function changes(): { rows: WindowRow[]; removed: number[] } {
    // Filtered before they are sorted: most windows of a week do not change any more.
    const rows = inOrder(byEnd.values().filter((window) => window.dirty)).map((window) => {
      return { startS: window.startS, state: encodeWindow(window) }
    })
    return { rows: horizonDirty ? [horizonRow(), ...rows] : rows, removed: [...removed] }
  }

  /** What `snapshot` or `changes` returned is durable. */
  function saved(): void {
    for (const window of byEnd.values()) window.dirty = false
    removed.clear()
    horizonDirty = false
  }

  function horizonRow(): WindowRow {
    return { startS: HORIZON_KEY, state: addChecksum(encode(horizonS)) }
  }

  /** Takes over the rows of a checkpoint into empty windows. Throws `window/damaged`. */
  function restore(rows: readonly WindowRow[], nowMs: number): void {
    for (const row of rows) {
      if (row.startS !== HORIZON_KEY) {
        index(decodeWindow(row, nowMs))
        continue
      }
      horizonS = horizonFrom(row.state)
    }
    lastAddedMs = nowMs
  }

  function stats(): WindowStats {
    const windows = [...new Set(byEnd.values())]
    const pending = windows.filter((window) => window.pending)
    const small = pending.filter(isSmall)
    return {
      held: windows.length,
      pending: pending.length,
      withheld: small.length,
      withheldReadings: small.reduce((sum, { totals }) => sum + totals.readings, 0),
      watermarkS: reachedS,
    }
  }

  return {
    add,
    withdraw,
    close,
    closeAll,
    forgetThrough,
    lastIssued,
    drop,
    snapshot,
    changes,
    saved,
    restore,
    stats,
    /** Reading time up to which windows were taken as complete at the last `close`, if any. */
    reachedS: () => reachedS,
    /** Reading time from which on windows can still be added to; those before are forgotten. */
    openFromS: () => horizonS + 1,
    /** Windows with something not issued yet; cheaper than `stats`. */
    pending: () => countPending(byEnd.values()),
  }
}
