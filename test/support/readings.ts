import * as fc from 'fast-check'
import { readingLimits, type Anchor, type Reading, type SkippedRange } from '#reading'

/** Any reading that may exist, from a small house to the edges of every range. */
export const anyReading: fc.Arbitrary<Reading> = fc.record({
  number: fc.oneof(
    fc.integer({ min: 1, max: 1000 }),
    // Not the very last one, so that every reading can have a successor.
    fc.integer({ min: 1, max: readingLimits.number - 1 }),
  ),
  timeS: fc.oneof(
    fc.integer({ min: 1_700_000_000, max: 1_900_000_000 }),
    fc.integer({ min: 0, max: readingLimits.timeS }),
  ),
  powerW: fc.oneof(
    fc.integer({ min: -5_000, max: 9_000 }),
    fc.integer({ min: -readingLimits.powerW, max: readingLimits.powerW }),
  ),
  voltageDv: fc.option(fc.integer({ min: 0, max: readingLimits.voltageDv })),
  currentMa: fc.option(fc.integer({ min: 0, max: readingLimits.currentMa })),
  importWh: fc.integer({ min: 0, max: readingLimits.registerWh }),
  exportWh: fc.integer({ min: 0, max: readingLimits.registerWh }),
  status: fc
    .tuple(fc.integer({ min: 0, max: 2 }), fc.integer({ min: 0, max: 0x3fff }))
    .map(([quality, flags]) => quality | (flags << 2)),
})

export const anyAnchor: fc.Arbitrary<Anchor> = fc.record({
  boot: fc.oneof(fc.nat(300), fc.maxSafeNat()),
  ageS: fc.oneof(fc.nat(300), fc.integer({ min: 0, max: 2 ** 32 })),
})

/** Readings of one block with consecutive numbers but for the returned skipped ranges. */
export const anyRun: fc.Arbitrary<{
  readings: Reading[]
  skipped: SkippedRange[]
  anchor?: Anchor
}> = fc
  .record({
    start: fc.integer({ min: 1, max: 2 ** 40 }),
    readings: fc.array(anyReading, { minLength: 1, maxLength: 64 }),
    /** How many numbers are skipped before each reading. */
    holes: fc.array(
      fc.oneof({ weight: 6, arbitrary: fc.constant(0) }, fc.integer({ min: 1, max: 500 })),
      { minLength: 64, maxLength: 64 },
    ),
    anchor: fc.option(anyAnchor),
  })
  .map(({ start, readings, holes, anchor }) => {
    const skipped: SkippedRange[] = []
    let next = start
    const numbered = readings.map((reading, index) => {
      const hole = holes[index] ?? 0
      if (hole > 0) skipped.push([next, next + hole - 1])
      next += hole + 1
      return { ...reading, number: next - 1 }
    })
    return { readings: numbered, skipped, ...(anchor !== null && { anchor }) }
  })

/** A plain reading to vary in table tests. */
export const plainReading: Reading = {
  number: 5,
  timeS: 1_767_225_600,
  powerW: 431,
  voltageDv: 2298,
  currentMa: 1876,
  importWh: 1_234_567,
  exportWh: 0,
  status: 0,
}
