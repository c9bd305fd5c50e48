import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { peekRegister } from '#reading'
import { newDisk } from '../support/fog-store.ts'
import { fogBench, report, simulatedMeter, virtualClock } from '../support/fog.ts'
import { anyMoves, counted, movingWorld, signed, type Step } from '../support/moving-world.ts'

const sign = (count: number): Step => ({ do: 'sign', meter: 0, count })
const visit = (fog: number, hears: boolean): Step => ({
  do: 'visit',
  meter: 0,
  fog,
  blocks: 9,
  hears,
})
const forward = (fog: number): Step => ({ do: 'forward', fog })
const replace = (fog: number): Step => ({ do: 'replace', fog })
const wait: Step = { do: 'time', seconds: 1_000 }

async function play(...parts: readonly (readonly Step[])[]) {
  const world = movingWorld()
  for (const step of parts.flat()) await world.perform(step)
  return world
}

const codes = (world: Awaited<ReturnType<typeof play>>) =>
  world.contents.events.map(({ code }) => code)

describe('a meter that moves between two fogs', () => {
  const moved = [sign(5), visit(0, true), sign(4), visit(0, false), visit(1, true)]

  test('is counted twice where its receipts were lost, until the later fog lets go', async () => {
    const world = await play([...moved, wait, forward(0), forward(1)])
    // The later fog was asked in the same session in which it told.
    expect(codes(world)).toEqual(expect.arrayContaining(['counted-twice', 'withdrawn']))
    expect(world.doubled()).toBe(0)
    expect(counted(world.latest())).toEqual(signed(world.people))
    expect(world.contents.runs).toMatchObject([
      { fog: 'fog-1', first: 1, last: 9, doubled: 0, withdrawn: 0 },
      { fog: 'fog-2', first: 6, last: 9, doubled: 9, withdrawn: 9 },
    ])
  })

  test('in whatever order the cloud hears of it', async () => {
    const world = await play([...moved, wait, forward(1), forward(0)])
    expect(world.doubled()).toBe(4)
    const twice = counted(world.latest())
    expect(twice.readings).toBe(signed(world.people).readings + 4)
    const doubledWh = twice.importWh - signed(world.people).importWh
    await world.perform(wait)
    await world.perform(forward(1))
    expect(world.doubled()).toBe(0)
    expect(counted(world.latest())).toEqual(signed(world.people))
    expect(doubledWh).toBeGreaterThan(0)
    expect(world.contents.events.find(({ code }) => code === 'withdrawn')?.detail).toBe(
      `readings 6 to 9: 4 of them and ${doubledWh} Wh are out of its windows`,
    )
  })

  test('windows of which nothing is left are empty, and the meter is in none of them', async () => {
    const world = await play([...moved, wait, forward(0), forward(1)])
    const ofSecond = world.contents.summaries.filter((s) => s.fog === 'fog-2' && s.latest)
    expect(ofSecond).not.toEqual([])
    for (const { summary } of ofSecond)
      expect(summary).toMatchObject({ meters: 0, readings: 0, importWh: 0 })
  })

  test('and on, and back: each of three fogs keeps what it was first to have', async () => {
    const world = await play(
      [sign(5), visit(0, false), sign(4), visit(1, false), sign(3), visit(2, false)],
      [sign(2), visit(0, true), sign(5), visit(0, true)],
      [wait, forward(2), forward(1), forward(0)],
      [wait, forward(0), forward(1), forward(2)],
    )
    expect(world.doubled()).toBe(0)
    expect(counted(world.latest())).toEqual(signed(world.people))
  })

  test('a fog that has lost its memory of it leaves it counted twice, and the cloud says so', async () => {
    const steps = [...moved, wait, forward(1), replace(1), forward(0), forward(1), wait]
    const world = await play(steps)
    await world.perform(forward(1))
    expect(world.doubled()).toBe(4)
    expect(counted(world.latest()).readings).toBe(signed(world.people).readings + 4)
  })
})

test('what is let go of in parts is told with its energy, each time all of it, after a restart too', async () => {
  const disk = newDisk()
  const clock = virtualClock()
  const bench = fogBench({ disk, clock })
  const meter = simulatedMeter('meter-1')
  bench.hello('channel-1', meter)
  const readings = [meter.block(4), meter.block(3), meter.block(2)].flatMap((block) => {
    bench.up('channel-1', report(block))
    return block.readings
  })
  await bench.commit()
  clock.advance(1_000_000)
  bench.fog.tick()
  const gained = (field: 'importWh' | 'exportWh', through: number) =>
    (readings[through - 1]?.[field] ?? 0) - (readings[0]?.[field] ?? 0)
  const parts = [4, 7, 9]
  for (const through of parts) fogBench({ disk, clock }).fog.withdraw('meter-1', 1, through)
  const told = bench.items().flatMap((item) => (item.type === 'withdrawn' ? [item.withdrawn] : []))
  expect(told).toEqual(
    parts.map((through) => ({
      deviceId: 'meter-1',
      first: 1,
      through,
      readings: through,
      importWh: gained('importWh', through),
      exportWh: gained('exportWh', through),
    })),
  )
  expect(told.map(({ importWh, exportWh }) => [importWh, exportWh])).toEqual([
    [5, 1],
    [11, 3],
    [12, 4],
  ])
})

test('what a meter gave up is claimed by no run: another fog may have had it', async () => {
  const bench = fogBench()
  const meter = simulatedMeter('meter-1')
  bench.hello('channel-1', meter)
  const [before, given, after] = [meter.block(3), meter.block(4), meter.block(2)]
  bench.up('channel-1', report(before), report({ ...given, readings: [] }), report(after))
  await bench.commit()
  bench.clock.advance(1_000_000)
  bench.fog.tick()
  const claims = bench.items().flatMap((item) => {
    if (item.type !== 'register') return []
    return [[item.from ?? null, peekRegister(item.envelope).last]]
  })
  expect(claims).toEqual([
    [1, 3],
    [null, 7],
    [8, 9],
  ])
})

describe('a cloud whose store becomes an older copy', () => {
  const [backup, restore]: Step[] = [{ do: 'backup' }, { do: 'restore' }]
  const there = [sign(5), visit(0, true), sign(4), visit(0, false)]

  test('hears of runs before the present one too, or would count their readings twice', async () => {
    const world = await play(
      [...there, visit(1, true), sign(3), visit(1, true), sign(2), visit(0, true)],
      [wait, forward(0), restore!, wait, forward(1), forward(0), wait, forward(1), forward(0)],
    )
    expect(codes(world)).toContain('cloud-set-back')
    expect(world.doubled()).toBe(0)
    expect(counted(world.latest())).toEqual(signed(world.people))
  })

  test('hears again of what was let go, and asks for nothing twice', async () => {
    const world = await play(
      [...there, backup!, visit(1, true), wait, forward(0), forward(1)],
      [restore!, wait, forward(0), forward(1), wait, forward(0), forward(1)],
    )
    expect(codes(world)).toContain('cloud-set-back')
    expect(world.doubled()).toBe(0)
    expect(counted(world.latest())).toEqual(signed(world.people))
  })
})

test('property: of a cloud set back at any time the fogs make good all that they still hold', async () => {
  const copies = fc.constantFrom<Step[]>(
    [{ do: 'backup' }],
    [{ do: 'restore' }],
    [{ do: 'backup' }, { do: 'restore' }],
  )
  let setBack = 0
  await fc.assert(
    fc.asyncProperty(anyMoves, anyMoves, anyMoves, copies, copies, async (a, b, c, one, two) => {
      // What a lost disk held cannot be sent again.
      const kept = [...a, ...one, ...b, ...two, ...c].filter((step) => step.do !== 'replace')
      const world = await play(kept)
      await world.settle()
      expect(world.doubled()).toBe(0)
      expect(counted(world.latest())).toEqual(signed(world.people))
      setBack += codes(world).filter((code) => code === 'cloud-set-back').length
    }),
    { numRuns: Number(process.env['FOGMETER_RUNS'] ?? 40) },
  )
  expect(setBack).toBeGreaterThan(0)
}, 120_000)

describe('a fog with a new disk', () => {
  test('adds to the windows it had sent before, and replaces none', async () => {
    const world = await play(
      [sign(5), visit(0, true), replace(0)],
      [sign(4), visit(0, true), wait, forward(0)],
    )
    expect(codes(world)).toContain('store-replaced')
    expect(counted(world.latest())).toEqual(signed(world.people))
    // The first window has readings of both stores, five and one.
    expect(world.latest()).toMatchObject([
      { readings: 6, meters: 1, revision: 1 },
      { readings: 3, meters: 1, revision: 0 },
    ])
  })

  test('what a meter still held and sends again counts once', async () => {
    const world = await play(
      [sign(5), visit(0, true), sign(6), visit(0, false), replace(0)],
      [visit(0, true), wait, forward(0), wait, forward(0)],
    )
    expect(counted(world.latest())).toEqual(signed(world.people))
    expect(world.doubled()).toBe(0)
  })
})

test('property: whoever moves where, and whoever crashes or loses a disk: counted once, or known not to be', async () => {
  let [settled, doubled] = [0, 0]
  await fc.assert(
    fc.asyncProperty(anyMoves, async (steps) => {
      const world = await play(steps)
      await world.settle()
      const once = signed(world.people)
      const found = counted(world.latest())
      expect(found.readings - world.doubled()).toBe(once.readings)
      // What a lost disk held cannot be let go of any more; everything else is put right.
      const lostDisk = steps.some((step) => step.do === 'replace')
      expect(world.doubled()).toBeLessThanOrEqual(lostDisk ? Infinity : 0)
      expect(world.doubled() > 0 ? once : found).toEqual(once)
      settled += 1
      doubled += world.contents.events.filter(({ code }) => code === 'counted-twice').length
    }),
    { numRuns: Number(process.env['FOGMETER_RUNS'] ?? 60) },
  )
  expect([settled, doubled].every((count) => count > 0)).toBe(true)
}, 120_000)
