import { expect, test } from 'vitest'
import { slopePerHour, type Sample } from '../chaos/soak/samples.ts'

const minute = 60_000

/** An hour of samples, a minute apart, of which only the heap matters. */
function hour(heapAt: (minute: number) => number): Sample[] {
  return Array.from({ length: 60 }, (_, at) => ({
    atMs: at * minute,
    heap: heapAt(at),
    rss: 0,
    descriptors: 0,
    wal: 0,
    store: 0,
  }))
}

test.each([
  ['a level that stays', () => 100, 0],
  ['a steady leak', (at: number) => 100 + at, 60],
  ['a saw tooth on a level floor', (at: number) => 100 + 10 * (at % 5), 0],
  ['a saw tooth on a rising floor', (at: number) => 100 + at + 10 * (at % 5), 60],
])('%s', (_, heapAt, perHour) => {
  expect(slopePerHour(hour(heapAt), 'heap')).toBeCloseTo(perHour, 5)
})

test('too few samples have no slope', () => {
  expect(slopePerHour(hour(() => 1).slice(0, 2), 'heap')).toBeNull()
})
