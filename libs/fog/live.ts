import type { Crypto } from '#crypto'
import { blockNumbers, countOf, decodeLive, makeStatement, type Reading } from '#reading'
import type { Anchor, SkippedRange, Statement } from '#reading'
import type { Meter } from './meter.ts'

/** Live readings held per meter until their block comes: two of the largest blocks. */
export const maxLive = 128

/**
 * A live reading as differences. Returns the reading, or null when its base is unknown (an earlier
 * message was lost): the block that follows will then be asked for in full.
 * Throws `reading/…`; the base is forgotten then.
 */
export function takeDelta(meter: Meter, values: readonly (number | null)[]): Reading | null {
  const base = meter.liveBase
  if (base === null) return null
  meter.liveBase = null
  const reading = decodeLive(base, values)
  stage(meter, reading)
  return reading
}

/** A live reading in full. */
export function takeReading(meter: Meter, reading: Reading): Reading {
  stage(meter, reading)
  return reading
}

function stage(meter: Meter, reading: Reading): void {
  meter.liveBase = reading
  if (reading.number <= meter.tip.number) return
  const last = meter.live.at(-1)
  if (last !== undefined && last.number >= reading.number) {
    meter.live = meter.live.filter((held) => held.number < reading.number)
  }
  if (meter.live.length < maxLive) meter.live.push(reading)
}

/**
 * The statement over live readings `first`..`last`, as far as this side can tell; null when it does
 * not hold them all or does not know what they follow. The signature decides whether it is right.
 */
export function assemble(
  crypto: Pick<Crypto, 'sha256'>,
  meter: Meter,
  range: { first: number; last: number; skipped: SkippedRange[]; anchor?: Anchor },
): { statement: Statement; readings: Reading[] } | null {
  const { tip } = meter
  if (range.first !== tip.number + 1 || tip.chain === null) return null
  const readings = meter.live.filter(({ number }) => number <= range.last)
  if (readings.length === 0 || readings.at(-1)?.number !== range.last) return null
  if (!matches(readings, range)) return null
  const statement = makeStatement(crypto, {
    deviceId: meter.deviceId,
    previousChain: tip.chain,
    startImportWh: tip.importWh,
    startExportWh: tip.exportWh,
    readings,
    skipped: range.skipped,
    anchor: range.anchor,
  })
  return { statement, readings }
}

/** Exactly the numbers `first`..`last` without the skipped ones, none missing. */
function matches(
  readings: readonly Reading[],
  { first, last, skipped }: { first: number; last: number; skipped: SkippedRange[] },
): boolean {
  const left = countOf({ first, last, skipped })
  if (left !== readings.length) return false
  const numbers = blockNumbers(first, skipped, readings.length)
  return readings.every((reading, index) => reading.number === numbers[index])
}
