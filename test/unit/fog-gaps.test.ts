import { describe, expect, test } from 'vitest'
import type { Gap } from '#messages'
import { status } from '#reading'
import { fogBench, report, simulatedMeter, startS, type SimulatedMeter } from '../support/fog.ts'

const cid = 'aaaaaaaa'

/** The ranges a node lists, the newest state of each. */
function gapsOf(bench: ReturnType<typeof fogBench>): Gap[] {
  bench.fog.close()
  const latest = new Map<string, Gap>()
  for (const item of bench.items()) {
    if (item.type === 'gap') latest.set(`${item.gap.kind} ${item.gap.first}`, item.gap)
  }
  return [...latest.values()]
}

async function node() {
  const bench = fogBench()
  const meter = simulatedMeter('meter-1')
  bench.hello(cid, meter)
  const send = async (...blocks: ReturnType<SimulatedMeter['sign']>[]) => {
    bench.up(cid, ...blocks.map(report))
    await bench.commit()
  }
  return { bench, meter, send }
}

/** Readings at these seconds after the start, each with 10 Wh more than the one before. */
function at(meter: SimulatedMeter, seconds: readonly number[], word = 0) {
  let importWh = meter.state.last?.importWh ?? 1_000
  return meter.sign(
    seconds.map((second) => {
      importWh += 10
      return { timeS: startS + second, importWh, exportWh: 0, status: word }
    }),
  )
}

describe('ranges', () => {
  test('numbers that never came: between which times, and the energy of nobody’s window', async () => {
    const { bench, meter, send } = await node()
    await send(at(meter, [10, 20]))
    at(meter, [30, 40, 50])
    const after = at(meter, [60, 70])
    bench.hello(cid, meter, 6)
    await send(after)
    expect(gapsOf(bench)).toEqual([
      {
        deviceId: 'meter-1',
        kind: 'missing',
        first: 3,
        last: 5,
        startS: startS + 20,
        endS: startS + 60,
        readings: 0,
        importWh: 30,
        exportWh: 0,
      },
    ])
  })

  test('the first numbers of a meter that comes from another node: nobody here can tell the energy', async () => {
    const { bench, meter, send } = await node()
    at(meter, [10, 20, 30])
    const after = at(meter, [40])
    bench.hello(cid, meter, 4)
    await send(after)
    expect(gapsOf(bench)).toMatchObject([
      { kind: 'missing', first: 1, last: 3, startS: null, endS: startS + 40, importWh: null },
    ])
  })

  test('numbers the meter declares it never used', async () => {
    const { bench, meter, send } = await node()
    await send(at(meter, [10, 20]))
    await send(meter.sign([{ timeS: startS + 30 }], 4))
    expect(gapsOf(bench)).toMatchObject([{ kind: 'skipped', first: 3, last: 6, importWh: null }])
  })

  test.each<[string, number[], [number, number, number][]]>([
    ['an even rhythm', [10, 20, 30, 40], []],
    ['one missed reading', [10, 20, 30, 50, 60], []],
    ['a minute', [10, 20, 30, 90, 100], []],
    ['more than a minute', [10, 20, 30, 91, 101], [[3, 4, 61]]],
    ['a slow meter may be slow', [900, 1_800, 2_700, 5_400, 6_300], []],
    ['but not that slow', [900, 1_800, 2_700, 7_201, 8_101], [[3, 4, 4_501]]],
    [
      'two silences',
      [10, 20, 30, 130, 140, 240],
      [
        [3, 4, 100],
        [5, 6, 100],
      ],
    ],
    ['before there is a rhythm', [10, 5_000], []],
    [
      'a slower rhythm is taken for one after two of its steps',
      [10, 20, 30, 930, 1_830, 2_730],
      [
        [3, 4, 900],
        [4, 5, 900],
      ],
    ],
  ])('silence: %s', async (_, seconds, expected) => {
    const { bench, meter, send } = await node()
    await send(at(meter, seconds.slice(0, 3)))
    for (const second of seconds.slice(3)) await send(at(meter, [second]))
    const found = gapsOf(bench).map(({ kind, first, last, startS: from, endS }) => {
      expect(kind).toBe('silence')
      return [first, last, endS! - from!]
    })
    expect(found).toEqual(expected)
  })

  test('a range of substitutes grows over blocks, and a good while ends it', async () => {
    const { bench, meter, send } = await node()
    await send(at(meter, [10, 20]))
    await send(at(meter, [30, 40], status.substitute))
    bench.fog.close()
    await send(at(meter, [50], status.substitute))
    for (let block = 0; block < 10; block++) {
      await send(
        at(
          meter,
          Array.from({ length: 7 }, (__, i) => 60 + 70 * block + 10 * i),
        ),
      )
    }
    await send(at(meter, [760], status.substitute))
    const found = gapsOf(bench).map(({ kind, first, last, readings, importWh }) => {
      return [kind, first, last, readings, importWh]
    })
    expect(found).toEqual([
      ['substitute', 3, 5, 3, 30],
      ['substitute', 76, 76, 1, 10],
    ])
  })

  test('what no window takes any more', async () => {
    const { bench, meter, send } = await node()
    await send(at(meter, [10, 100_000]))
    bench.clock.advance(1_000)
    bench.fog.tick()
    bench.clock.advance(1_000_000)
    bench.fog.tick()
    bench.fog.prune(startS + 50_000)
    await send(at(meter, [20, 100_010]))
    const [gap, ...others] = gapsOf(bench).filter(({ kind }) => kind === 'not-summed')
    expect(others).toEqual([])
    expect(gap).toMatchObject({ first: 3, last: 3, readings: 1, importWh: 10 })
  })
})

test('ranges survive a restart of the node wherever it happens', async () => {
  for (const checkpoint of [false, true]) {
    const { bench, meter, send } = await node()
    await send(at(meter, [10, 20]))
    await send(at(meter, [30, 40], status.substitute))
    if (checkpoint) bench.fog.close()
    const again = fogBench({ disk: bench.disk, clock: bench.clock })
    again.hello(cid, meter)
    again.up(cid, report(at(meter, [50], status.substitute)))
    await again.commit()
    expect(gapsOf(again)).toMatchObject([{ kind: 'substitute', first: 3, last: 5, readings: 3 }])
  }
})
