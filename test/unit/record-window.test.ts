import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { utf8 } from '#bytes'
import { createOpener } from '#record'
import { outcome, recordContext, textbookRecord } from '../support/records.ts'
import { breakTag } from '../support/tamper.ts'

const PLAINTEXT = utf8('x')
const AT = 1_000
const SIZE = 64
/** No count limit, so that only the window judges. */
const context = recordContext({ limits: { refuseAfterRecords: Number.MAX_SAFE_INTEGER + 1 } })

const TOP = Number.MAX_SAFE_INTEGER
const OLD = 2 ** 32

type Row = [row: number, counter: number | bigint, expected: string]

/** Counters in order of arrival. A row's verdict depends on the rows above it. */
const table: Row[] = [
  [1, 0, 'opened'],
  [2, 0, 'replay'],
  [3, 1, 'opened'],
  [4, 1, 'replay'],
  [5, 0, 'replay'],
  [6, 3, 'opened'],
  [7, 2, 'opened'],
  [8, 2, 'replay'],
  [9, 3, 'replay'],
  // one full window: 63 behind the newest is judged, 64 behind is not
  [10, SIZE + 3, 'opened'],
  [11, 3, 'stale'],
  [12, 4, 'opened'],
  [13, 4, 'replay'],
  [14, SIZE + 3, 'replay'],
  // the slot of counter 5 now belongs to 69, which pushes 5 out
  [15, SIZE + 5, 'opened'],
  [16, 5, 'stale'],
  [17, 6, 'opened'],
  [18, 6, 'replay'],
  // a jump of exactly one window, of one less, of one more
  [19, 2 * SIZE + 5, 'opened'],
  [20, SIZE + 5, 'stale'],
  [21, SIZE + 6, 'opened'],
  [22, 3 * SIZE + 4, 'opened'],
  [23, 2 * SIZE + 5, 'replay'],
  [24, 4 * SIZE + 5, 'opened'],
  [25, 3 * SIZE + 4, 'stale'],
  [26, 3 * SIZE + 6, 'opened'],
  // everything between is still open, once
  [27, 4 * SIZE + 4, 'opened'],
  [28, 4 * SIZE + 4, 'replay'],
  [29, 3 * SIZE + 7, 'opened'],
  // where 32 bits end
  [30, OLD - 2, 'opened'],
  [31, 4 * SIZE + 5, 'stale'],
  [32, OLD, 'opened'],
  [33, OLD - 1, 'opened'],
  [34, OLD - 1, 'replay'],
  [35, OLD + 1, 'opened'],
  [36, OLD, 'replay'],
  [37, OLD - 2, 'replay'],
  [38, OLD + SIZE, 'opened'],
  [39, OLD, 'stale'],
  [40, OLD + 1, 'replay'],
  [41, 0, 'stale'],
  // the largest counter a sender may have, and the first one none may have
  [42, TOP - 1, 'opened'],
  [43, TOP, 'opened'],
  [44, TOP, 'replay'],
  [45, TOP - 1, 'replay'],
  [46, TOP - 2, 'opened'],
  [47, TOP - SIZE + 1, 'opened'],
  [48, TOP - SIZE, 'stale'],
  [49, BigInt(TOP) + 1n, 'malformed'],
  [50, BigInt(TOP) + 2n, 'malformed'],
  [51, 2n ** 63n, 'malformed'],
  [52, 2n ** 64n - 1n, 'malformed'],
  [53, TOP - 3, 'opened'],
]

describe('replay window', () => {
  test('boundary table', () => {
    const opener = createOpener(context)
    const verdicts = table.map(([row, counter]): Row => {
      const frame = textbookRecord(context, counter, PLAINTEXT)
      return [row, counter, outcome(opener.open(frame, AT))]
    })
    expect(verdicts).toEqual(table)
  })

  test('any order of arrival: agrees with a set of all accepted counters', () => {
    const step = fc.record({ jump: fc.integer({ min: -80, max: 80 }), forged: fc.boolean() })
    fc.assert(
      fc.property(
        fc.nat({ max: 2 ** 40 }),
        fc.array(step, { minLength: 1, maxLength: 80 }),
        (start, steps) => {
          const opener = createOpener(context)
          const accepted = new Set<number>()
          let newest = -1
          const judge = (counter: number): string => {
            if (counter <= newest - SIZE) return 'stale'
            return accepted.has(counter) ? 'replay' : 'opened'
          }
          for (const { jump, forged } of steps) {
            const counter = Math.max(0, (newest < 0 ? start : newest) + jump)
            const frame = textbookRecord(context, counter, PLAINTEXT)
            const sent = forged ? breakTag(frame) : frame
            const verdict = judge(counter)
            const expected = forged && verdict === 'opened' ? 'forged' : verdict
            expect(outcome(opener.open(sent, AT))).toBe(expected)
            if (expected !== 'opened') continue
            accepted.add(counter)
            newest = Math.max(newest, counter)
          }
        },
      ),
      { numRuns: Number(process.env['FC_RUNS'] ?? 150) },
    )
  })

  test('a forged record never moves the window, however far ahead it claims to be', () => {
    const opener = createOpener(context)
    const forged = breakTag(textbookRecord(context, 1_000_000, PLAINTEXT))
    expect(outcome(opener.open(forged, AT))).toBe('forged')
    for (const counter of [1, 0, 64])
      expect(outcome(opener.open(textbookRecord(context, counter, PLAINTEXT), AT))).toBe('opened')
  })
})
