import { describe, expect, test } from 'vitest'
import { nodeCrypto } from '#crypto-node'
import type { Up } from '#messages'
import { buildBlock, firstChain } from '#reading'
import {
  fogBench,
  liveMessages,
  manualVerifier,
  report,
  settled,
  simulatedMeter,
  type SimulatedMeter,
} from '../support/fog.ts'

const [one, two] = ['aaaaaaaa', 'bbbbbbbb']

/** Two meters in session with a node that has a defect: `broken.now` makes it show. */
function pair(options: Parameters<typeof fogBench>[0] = {}) {
  const broken = { now: false }
  const check = () => {
    if (broken.now) throw new TypeError('undefined is not a function')
  }
  const bench = fogBench({
    ...options,
    crypto: {
      ...nodeCrypto,
      sha256: (bytes) => {
        check()
        return nodeCrypto.sha256(bytes)
      },
    },
    beforeSend: (cid) => {
      if (cid === one) check()
    },
  })
  const [first, second] = [simulatedMeter('meter-1', 1), simulatedMeter('meter-2', 2)]
  bench.hello(one, first)
  bench.hello(two, second)
  return { bench, first, second, broken }
}

/** The neighbour's block, and the same of the meter that lost its session when it is back. */
async function goesOn(
  bench: ReturnType<typeof fogBench>,
  first: SimulatedMeter,
  second: SimulatedMeter,
): Promise<void> {
  bench.up(two, report(second.block(2)))
  bench.hello('cccccccc', first)
  bench.up('cccccccc', ...first.state.blocks.map(report))
  await bench.commit()
  expect(bench.take(two).at(-1)).toEqual({ type: 'receipt', durable: 2 })
  const { last } = first.state.blocks.at(-1)!.statement
  expect(bench.take('cccccccc').at(-1)).toEqual({ type: 'receipt', durable: last })
  expect(bench.fog.inFlight()).toBe(0)
}

const lossesOf = ({ dropped, unexpected, fog }: ReturnType<typeof fogBench>) => ({
  dropped,
  unexpected,
  counted: fog.counters().refused['unexpected'],
})
const oneLost = {
  dropped: [{ cid: one, code: 'fog/unexpected' }],
  unexpected: ['meter-1'],
  counted: 1,
}

describe('a defect costs one session, not the process', () => {
  test('in the handling of a message', async () => {
    const { bench, first, second, broken } = pair()
    const messages = liveMessages(first.block(3))
    bench.up(one, ...messages.slice(0, -1))
    broken.now = true
    bench.up(one, messages.at(-1)!)
    broken.now = false
    expect(lossesOf(bench)).toEqual(oneLost)
    await goesOn(bench, first, second)
  })

  test('of a report, which is not refused for it', async () => {
    const { bench, first, second, broken } = pair()
    broken.now = true
    bench.up(one, report(first.block(3)))
    broken.now = false
    expect(lossesOf(bench)).toEqual(oneLost)
    await goesOn(bench, first, second)
  })

  test('when a signature has been judged', async () => {
    const { verifier, releaseAll } = manualVerifier()
    const { bench, first, second, broken } = pair({ verifier })
    const good = first.block(2)
    bench.up(one, report({ ...good, signature: new Uint8Array(64) }))
    broken.now = true
    await releaseAll()
    broken.now = false
    expect(lossesOf(bench)).toEqual(oneLost)
    const rest = goesOn(bench, first, second)
    await releaseAll()
    await rest
  })

  test('when a conflict has been judged', async () => {
    const { bench, first, second, broken } = pair()
    bench.up(one, report(first.block(2)))
    await bench.commit()
    const other = simulatedMeter('meter-1', 1).block(2, 0, { powerW: 9 })
    broken.now = false
    bench.up(one, report(other))
    broken.now = true
    await settled()
    broken.now = false
    expect(lossesOf(bench)).toEqual(oneLost)
    await goesOn(bench, first, second)
  })

  test('when the verifier itself throws: the block is asked for again', async () => {
    const { bench, first } = pair({
      verifier: {
        verify() {
          throw new TypeError('no threads')
        },
      },
    })
    bench.up(one, report(first.block(2)))
    await settled()
    expect(bench.take(one).at(-1)).toEqual({ type: 'resend', from: 1 })
    expect(bench.fog.counters().refused).toEqual({ 'verifier-failed': 1 })
    expect(bench.fog.inFlight()).toBe(0)
  })
})

/** A first block of meter-1 that only the meter can have signed, other each time. */
function conflicting(powerW: number): Up {
  const { key, reading } = simulatedMeter('meter-1', 1)
  const readings = [reading({ powerW }), reading({ powerW })]
  const previousChain = firstChain(nodeCrypto, 'meter-1')
  const parts = { deviceId: 'meter-1', previousChain, startImportWh: null, startExportWh: null }
  return report(buildBlock(nodeCrypto, key, { ...parts, readings }))
}

test('checks of conflicts count towards what one meter may have in flight', async () => {
  const { verifier, waiting, releaseAll } = manualVerifier()
  const bench = fogBench({ verifier, settings: { maxInFlightPerMeter: 3 } })
  const [first, second] = [simulatedMeter('meter-1', 1), simulatedMeter('meter-2', 2)]
  bench.hello(one, first)
  bench.hello(two, second)
  bench.up(one, report(first.block(2)))
  await releaseAll()
  await bench.commit()
  for (let powerW = 1; powerW <= 10; powerW++) bench.up(one, conflicting(powerW))
  expect(waiting).toHaveLength(3)
  bench.up(one, report(first.block(1)))
  expect(bench.fog.counters().refused).toEqual({ overload: 8 })
  bench.up(two, report(second.block(2)))
  expect(waiting).toHaveLength(4)
  await releaseAll()
  expect(bench.fog.counters().refused).toEqual({ overload: 8, conflict: 3 })
  bench.up(one, report(first.state.blocks.at(-1)!))
  expect(waiting).toHaveLength(1)
})
