import { decodeInts, encodeInts, type CborValue } from '#cbor'
import { gapKinds, type Gap } from '#messages'
import type { IntervalReading } from '#window'
import type { Waiting } from './dating.ts'
import type { Meter } from './meter.ts'
import { bytes, int, intOrNull, list } from './snapshot-values.ts'

/** What a snapshot holds about a meter's time: [waiting, boot time, rhythm, open ranges, datings]. */
export function timeValues(meter: Meter, nowMs: number): CborValue[] {
  const { bootTime, rhythm } = meter
  return [
    meter.waiting.map((entry) => waitingValues(entry, nowMs)),
    bootTime && [bootTime.boot, bootTime.offsetS, bootTime.ageS, bootTime.exact],
    [rhythm.lastS, rhythm.lastNumber, rhythm.guessed, rhythm.stepS, rhythm.stepBeforeS],
    meter.openGaps.map(openGapValues),
    meter.datings.map(({ first, last, byS, quality }) => [first, last, byS, quality]),
  ]
}

/** The mirror of `timeValues`, into `meter`; throws when something is not as written. */
export function fillTime(meter: Meter, value: CborValue | undefined, nowMs: number): void {
  const [waiting, bootTime, rhythm, openGaps, datings] = list(value)
  meter.waiting = list(waiting).map((entry) => waitingFrom(entry, nowMs))
  if (bootTime !== null) {
    const [boot, offsetS, ageS, exact] = list(bootTime)
    meter.bootTime = {
      boot: int(boot),
      offsetS: int(offsetS),
      ageS: int(ageS),
      exact: exact === true,
    }
  }
  const [lastS, lastNumber, guessed, stepS, stepBeforeS] = list(rhythm)
  meter.rhythm = {
    lastS: int(lastS),
    lastNumber: int(lastNumber),
    guessed: guessed === true,
    stepS: int(stepS),
    stepBeforeS: int(stepBeforeS),
  }
  meter.openGaps = list(openGaps).map((gap) => openGapFrom(gap, meter.deviceId))
  meter.datings = list(datings).map((dating) => {
    const [first, last, byS, quality] = list(dating)
    return { first: int(first), last: int(last), byS: int(byS), quality: int(quality) }
  })
}

/** Integers of one reading in a row of them. */
const perReading = 7

/** How long it has waited, instead of since when: the next process has another monotonic clock. */
function waitingValues(entry: Waiting, nowMs: number): CborValue[] {
  const { boot, ageS, committedS, sinceMs, readings } = entry
  const values = readings.flatMap((r) => {
    return [r.number, r.timeS, r.powerW, r.voltageDv, r.importWh, r.exportWh, r.status]
  })
  return [boot, ageS, committedS, Math.max(0, Math.floor(nowMs - sinceMs)), encodeInts(values)]
}

function waitingFrom(value: CborValue, nowMs: number): Waiting {
  const [boot, ageS, committedS, waitedMs, packed] = list(value)
  const values = decodeInts(bytes(packed))
  const readings: IntervalReading[] = []
  for (let at = 0; at < values.length; at += perReading) {
    const [number, timeS, powerW, voltageDv, importWh, exportWh, status] = values.slice(
      at,
      at + perReading,
    )
    readings.push({
      number: int(number),
      timeS: int(timeS),
      powerW: int(powerW),
      voltageDv: intOrNull(voltageDv),
      importWh: int(importWh),
      exportWh: int(exportWh),
      status: int(status),
    })
  }
  return {
    boot: intOrNull(boot),
    ageS: int(ageS),
    committedS: int(committedS),
    sinceMs: nowMs - int(waitedMs),
    readings,
  }
}

function openGapValues(gap: Gap): CborValue[] {
  const { kind, first, last, startS, endS, readings, importWh, exportWh } = gap
  return [gapKinds.indexOf(kind), first, last, startS, endS, readings, importWh, exportWh]
}

function openGapFrom(value: CborValue, deviceId: string): Gap {
  const [kind, first, last, startS, endS, readings, importWh, exportWh] = list(value)
  return {
    deviceId,
    kind: gapKinds[int(kind)]!,
    first: int(first),
    last: int(last),
    startS: intOrNull(startS),
    endS: intOrNull(endS),
    readings: int(readings),
    importWh: intOrNull(importWh),
    exportWh: intOrNull(exportWh),
  }
}
