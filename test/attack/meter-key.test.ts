/** What somebody with one meter's key can do to a fog node, and so to its other meters. */
import { expect, test } from 'vitest'
import { encode } from '#cbor'
import { encodeUp } from '#messages'
import { readingLimits } from '#reading'
import { fogBench, report, settled, simulatedMeter, startS } from '../support/fog.ts'

/** Messages that are answered with the number after the meter's last one. */
const asking = [
  [
    'an unreadable report',
    encode([3, new Uint8Array(32), new Uint8Array(64), [], new Uint8Array(3)]),
  ],
  ['a live reading without a base', encodeUp({ type: 'live', values: [1, 1, 1, 1, 1, 1] })],
  ['a block message of nonsense', encode([2, 5, 3, [], new Uint8Array(64)])],
] as const

test.each(asking)('at the end of its numbers, %s brings down nobody', async (_name, message) => {
  const bench = fogBench()
  const [thief, honest] = [simulatedMeter('thief', 1), simulatedMeter('honest', 2)]
  thief.state.number = readingLimits.number
  bench.hello('a', thief, readingLimits.number)
  bench.up('a', report(thief.block(1, 0, { timeS: startS })))
  await bench.commit()
  expect(bench.take('a')).toContainEqual({ type: 'receipt', durable: readingLimits.number })
  expect(() => bench.fog.receive('a', message)).not.toThrow()
  await settled()
  bench.hello('b', honest)
  bench.up('b', report(honest.block(4)))
  await bench.commit()
  expect(bench.take('b')).toContainEqual({ type: 'receipt', durable: 4 })
})
