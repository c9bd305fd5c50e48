import type { Gap, GapKind } from '#messages'
import { status, timeQuality, timeQualityOf } from '#reading'
import type { IntervalReading } from '#window'
import type { Core } from './core.ts'
import type { Meter } from './meter.ts'

/** Affected readings this close together are one range. */
const together = 64
/** Ranges remembered between two checkpoints; beyond it an event says how many were not listed. */
const maxWaiting = 10_000

/** Notes a hole, or a range that is complete. */
export function noteGap(core: Core, gap: Gap): void {
  const key = `${gap.deviceId} ${gap.kind} ${gap.first}`
  if (core.gaps.size >= maxWaiting && !core.gaps.has(key)) {
    core.derived.add('gaps-dropped', gap.deviceId, gap.endS ?? 0, 'a range is not listed')
    return
  }
  core.gaps.set(key, gap)
}

/** Adds one reading to the range of its kind, or begins one. */
export function extendGap(core: Core, meter: Meter, kind: GapKind, reading: IntervalReading): void {
  const { number, timeS, importWh, exportWh } = reading
  const open = meter.openGaps.find((gap) => gap.kind === kind)
  const next: Gap =
    open !== undefined && number > open.last && number - open.last <= together
      ? {
          ...open,
          last: number,
          endS: timeS,
          readings: open.readings + 1,
          importWh: (open.importWh ?? 0) + importWh,
          exportWh: (open.exportWh ?? 0) + exportWh,
        }
      : {
          deviceId: meter.deviceId,
          kind,
          first: number,
          last: number,
          startS: timeS,
          endS: timeS,
          readings: 1,
          importWh,
          exportWh,
        }
  meter.openGaps = [...meter.openGaps.filter((gap) => gap.kind !== kind), next]
  noteGap(core, next)
}

/** Bits of a status word that put a reading into a range. */
export const doubtful = status.substitute | status.timeQualityMask

/** The kinds of range a counted reading belongs to, by its status. */
export function doubtsOf(word: number): GapKind[] {
  const kinds: GapKind[] = []
  if ((word & status.substitute) !== 0) kinds.push('substitute')
  const quality = timeQualityOf(word)
  if (quality === timeQuality.estimated) kinds.push('time-estimated')
  if (quality === timeQuality.unknown) kinds.push('time-unknown')
  return kinds
}
