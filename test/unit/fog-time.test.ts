import { describe, expect, test } from 'vitest'
import type { Gap, Item, Summary } from '#messages'
import { peekRegister, status, timeQuality, type Anchor, type Block, type Reading } from '#reading'
import { fogBench, report, settled, simulatedMeter, startS, virtualClock } from '../support/fog.ts'

const cid = 'aaaaaaaa'
const hour = 3_600
const unknown = timeQuality.unknown

/** A fog node and a meter whose readings are 10 Wh each; windows are an hour, so tables stay short. */
function scene(
  options: { fogClockS?: number; maxWaitMs?: number; maxWaiting?: number; stepWh?: number } = {},
) {
  const wallS = { value: options.fogClockS ?? startS }
  const inner = virtualClock()
  const clock = {
    ...inner,
    now: () => wallS.value * 1_000 + inner.monotonic(),
    monotonic: inner.monotonic,
  }
  const time = { silenceIntervals: 5, maxWaitMs: 6 * hour * 1_000, maxWaiting: 10_000, ...options }
  const window = { seconds: hour, graceSeconds: 0, idleSeconds: 180, minMeters: 1 }
  const rest = { revisionDelayMs: 0, activeSeconds: 900, maxMergeSeconds: 86_400, maxWindows: 500 }
  const settings = { time, window: { ...window, ...rest } }
  const disk = { current: fogBench({ clock, settings }) }
  const meter = simulatedMeter('meter-1')
  disk.current.hello(cid, meter)

  /** Signs readings at these times and hands them over; `stamp` tells the node's own clock. */
  async function send(times: readonly number[], more: Partial<Reading> = {}, anchor?: Anchor) {
    const block = sign(times, more, anchor)
    await deliver(block)
  }
  function sign(times: readonly number[], more: Partial<Reading> = {}, anchor?: Anchor): Block {
    let importWh = meter.state.last?.importWh ?? 1_000
    const changes = times.map((timeS) => {
      importWh += options.stepWh ?? 10
      return { timeS, importWh, exportWh: 0, powerW: 600, voltageDv: null, ...more }
    })
    return meter.sign(changes, 0, anchor)
  }
  async function deliver(...blocks: Block[]) {
    disk.current.up(cid, ...blocks.map(report))
    await disk.current.commit()
  }
  function restart() {
    const before = disk.current
    disk.current = fogBench({ clock, settings, disk: before.disk })
    disk.current.hello(cid, meter)
  }
  function pass(seconds: number) {
    inner.advance(seconds * 1_000)
    disk.current.fog.tick()
  }
  /** Everything closed and written down: what the cloud would hold. */
  function end() {
    pass(2 * hour)
    disk.current.fog.close()
    const items = disk.current.items()
    return { windows: windowsOf(items), events: eventsOf(items), gaps: gapsOf(items) }
  }
  const setClock = (seconds: number) => {
    wallS.value = seconds - inner.monotonic() / 1_000
  }
  return { send, sign, deliver, restart, pass, end, setClock, meter, bench: () => disk.current }
}

/** Latest revisions: [hours after the start, readings, Wh, estimated, unknown]. */
function windowsOf(items: Item[]) {
  const latest = new Map<number, Summary>()
  for (const item of items)
    if (item.type === 'summary') latest.set(item.summary.startS, item.summary)
  return [...latest.values()]
    .toSorted((a, b) => a.startS - b.startS)
    .map(({ startS: from, readings, importWh, quality }) => [
      from < startS - 1e6 ? 'in 1970' : (from - startS) / hour,
      readings,
      importWh,
      quality.estimated,
      quality.unknownTime,
    ])
}

/** The newest revision of the window from `startS`. */
function windowOf(items: Item[], from: number): Summary {
  const revisions = items.flatMap((item) => (item.type === 'summary' ? [item.summary] : []))
  return revisions.findLast((summary) => summary.startS === from)!
}

/** Another meter, whose clock is right. */
async function sendGood(s: ReturnType<typeof scene>, timeS: number): Promise<void> {
  const other = simulatedMeter('meter-2')
  s.bench().hello('bbbbbbbb', other)
  const reading = { timeS, importWh: 1_000, exportWh: 0, powerW: 600, voltageDv: null }
  s.bench().up('bbbbbbbb', report(other.sign([reading])))
  await s.bench().commit()
}

function eventsOf(items: Item[]): string[] {
  return items.flatMap((item) => (item.type === 'event' ? [item.event.code] : []))
}

function gapsOf(items: Item[]): (string | number | null)[][] {
  const latest = new Map<string, Gap>()
  for (const item of items) {
    if (item.type === 'gap') latest.set(`${item.gap.kind} ${item.gap.first}`, item.gap)
  }
  return [...latest.values()].map(({ kind, first, last, readings, importWh }) => [
    kind,
    first,
    last,
    readings,
    importWh,
  ])
}

const from = (first: number, ...offsets: number[]) => offsets.map((offset) => first + offset)

describe('readings without a time', () => {
  test('are durable and receipted at once, and in no window yet', async () => {
    const s = scene()
    await s.send([40, 50], { status: unknown }, { boot: 7, ageS: 50 })
    expect(s.bench().take(cid).at(-1)).toEqual({ type: 'receipt', durable: 2 })
    s.pass(hour)
    expect(windowsOf(s.bench().items())).toEqual([])
  })

  test('are dated by their boot once the meter knows the time', async () => {
    const s = scene()
    await s.send(from(startS, 60, 120))
    // Off for two hours; then 100 s of the new boot in the dark, from 3 h − 70 s on.
    await s.send([40, 50], { status: unknown }, { boot: 7, ageS: 50 })
    await s.send([140], { status: unknown }, { boot: 7, ageS: 140 })
    await s.send(from(startS, 3 * hour + 20), {}, { boot: 7, ageS: 150 })
    const { windows, events, gaps } = s.end()
    // 3 h + 20 s is age 150: ages 40 and 50 lie in the third hour, age 140 in the fourth.
    expect(windows).toEqual([
      [0, 2, 10, 0, 0],
      [2, 2, 20, 0, 0],
      [3, 2, 20, 0, 0],
    ])
    expect(events).toEqual(['time-corrected'])
    expect(gaps).toEqual([['silence', 4, 5, 0, 10]])
  })

  test('after the time is known, the boot dates at once what its clock forgot again', async () => {
    const s = scene()
    await s.send([50], { status: unknown }, { boot: 7, ageS: 50 })
    await s.send(from(startS, 100), {}, { boot: 7, ageS: 60 })
    await s.send([900], { status: unknown }, { boot: 7, ageS: 3_660 })
    expect(s.end().windows).toEqual([
      [0, 2, 10, 0, 0],
      [1, 1, 10, 0, 0],
    ])
  })

  test('of a boot that never learned the time lie between what is known, by their commit', async () => {
    const s = scene()
    await s.send(from(startS, 60))
    s.setClock(startS + 5 * hour + 600)
    await s.send([40, 50], { status: unknown }, { boot: 7, ageS: 50 })
    s.setClock(startS + 9 * hour)
    await s.send(from(startS, 9 * hour + 60), {}, { boot: 8, ageS: 9 })
    const { windows, events, gaps } = s.end()
    expect(windows).toEqual([
      [0, 1, 0, 0, 0],
      [5, 2, 20, 2, 0],
      [9, 1, 10, 0, 0],
    ])
    expect(events).toEqual(['time-estimated'])
    expect(gaps).toEqual([
      ['time-estimated', 2, 3, 2, 20],
      ['silence', 3, 4, 0, 10],
    ])
  })

  test('delivered late, they lie before the next good reading, boots in their order', async () => {
    const s = scene()
    await s.send(from(startS, 60))
    const dark1 = s.sign([40, 50], { status: unknown }, { boot: 7, ageS: 50 })
    const dark2 = s.sign([3_600], { status: unknown }, { boot: 8, ageS: 3_600 })
    const good = s.sign(from(startS, 4 * hour), {}, { boot: 9, ageS: 5 })
    s.setClock(startS + 9 * hour)
    await s.deliver(dark1, dark2, good)
    const readings = s.end().windows
    expect(readings).toEqual([
      [0, 1, 0, 0, 0],
      [3, 4, 40, 3, 0],
    ])
  })

  test('of a node that does not know the time either, they lie after the last known time', async () => {
    const s = scene({ fogClockS: 1_000, maxWaitMs: 1_000_000 })
    await s.send(from(startS, 60))
    await s.send([40, 50], { status: unknown }, { boot: 7, ageS: 50 })
    s.pass(1_000)
    expect(s.end().windows).toEqual([[0, 3, 20, 2, 0]])
  })

  test('where nothing at all is known, they are counted where their clock says, and marked', async () => {
    const s = scene({ fogClockS: 1_000, maxWaitMs: 1_000_000 })
    await s.send([40, 50], { status: unknown }, { boot: 7, ageS: 50 })
    s.pass(999)
    expect(windowsOf(s.bench().items())).toEqual([])
    s.pass(1)
    const { windows, gaps } = s.end()
    expect(windows).toEqual([['in 1970', 2, 10, 0, 2]])
    expect(gaps).toEqual([['time-unknown', 1, 2, 2, 10]])
  })

  test('where what their clock says is over for good, they are counted in the first window that is not', async () => {
    const s = scene({ fogClockS: 1_000, maxWaitMs: 1_000_000 })
    await s.send([40, 50], { status: unknown }, { boot: 7, ageS: 50 })
    s.pass(1_000)
    s.pass(30 * hour)
    await sendGood(s, startS)
    s.pass(1)
    s.bench().fog.prune(1_000 + 29 * hour)
    await s.send([40, 50], { status: unknown }, { boot: 8, ageS: 50 })
    s.pass(1_000)
    await s.send([60], { status: unknown }, { boot: 8, ageS: 60 })
    s.pass(1_000)
    const { gaps, events } = s.end()
    expect(gaps.filter(([kind]) => kind === 'not-summed')).toEqual([])
    expect(events).not.toContain('not-summed-up')
    const first = windowOf(s.bench().items(), 0)
    const next = windowOf(s.bench().items(), hour)
    expect([first.readings, first.importWh]).toEqual([2, 10])
    expect([next.readings, next.importWh, next.quality.unknownTime]).toEqual([3, 30, 3])
  })

  test('without anchors, as an older meter sends them, they wait and are estimated all the same', async () => {
    const s = scene()
    await s.send(from(startS, 60))
    s.setClock(startS + 5 * hour + 600)
    await s.send([40, 50], { status: unknown })
    await s.send([60], { status: unknown })
    s.setClock(startS + 9 * hour)
    await s.send(from(startS, 9 * hour + 60))
    expect(s.end().windows).toEqual([
      [0, 1, 0, 0, 0],
      [5, 3, 30, 3, 0],
      [9, 1, 10, 0, 0],
    ])
  })

  test('a meter that never learns the time waits once, then its boot is dated', async () => {
    const s = scene({ maxWaitMs: 600_000, fogClockS: startS + 60 })
    await s.send([40], { status: unknown }, { boot: 7, ageS: 40 })
    s.pass(599)
    expect(s.bench().fog.openWindows()).toBe(0)
    s.pass(1)
    expect(s.bench().fog.openWindows()).toBe(1)
    await s.send([640], { status: unknown }, { boot: 7, ageS: 640 })
    const { windows, events } = s.end()
    expect(windows).toEqual([[0, 2, 10, 2, 0]])
    expect(events).toEqual(['time-estimated'])
  })

  test('no more wait than there is room for', async () => {
    const s = scene({ maxWaiting: 3, fogClockS: startS + 60 })
    await s.send([40, 50], { status: unknown }, { boot: 7, ageS: 50 })
    s.pass(200)
    expect(windowsOf(s.bench().items())).toEqual([])
    await s.send([60, 70], { status: unknown }, { boot: 7, ageS: 70 })
    s.pass(200)
    expect(windowsOf(s.bench().items())).toEqual([[0, 4, 30, 4, 0]])
  })

  test('an estimated time of the meter’s own is counted there, marked', async () => {
    const s = scene()
    await s.send(from(startS, 60, 120), { status: timeQuality.estimated })
    const { windows, gaps } = s.end()
    expect(windows).toEqual([[0, 2, 10, 2, 0]])
    expect(gaps).toEqual([['time-estimated', 1, 2, 2, 10]])
  })

  test.each([
    ['before a checkpoint', false],
    ['after a checkpoint', true],
  ])('wait across a restart of the node, %s', async (_, checkpoint) => {
    const s = scene()
    await s.send(from(startS, 60))
    await s.send([40, 50], { status: unknown }, { boot: 7, ageS: 50 })
    if (checkpoint) s.bench().fog.close()
    s.restart()
    await s.send(from(startS, 3 * hour + 200), {}, { boot: 7, ageS: 60 })
    s.restart()
    const { windows, events } = s.end()
    expect(windows).toEqual([
      [0, 1, 0, 0, 0],
      [3, 3, 30, 0, 0],
    ])
    expect(events).toEqual(['time-corrected'])
  })

  test('how long they have waited is not forgotten by restarts', async () => {
    const s = scene({ maxWaitMs: 1_000_000 })
    await s.send([40, 50], { status: unknown }, { boot: 7, ageS: 50 })
    for (let i = 0; i < 2; i++) {
      s.pass(400)
      s.bench().fog.close()
      s.restart()
    }
    s.pass(150)
    expect(s.bench().fog.openWindows()).toBe(0)
    s.pass(50)
    expect(s.bench().fog.openWindows()).toBe(1)
  })

  test('as many as may wait fit into a snapshot', async () => {
    const s = scene({ maxWaiting: 100_000, stepWh: 70_000 })
    s.meter.state.number = 2 ** 40
    s.bench().hello(cid, s.meter, 2 ** 40)
    for (let block = 0; block < 32; block++) {
      const times = Array.from({ length: 63 }, (__, i) => 1e10 + block * 100 + i)
      const more = { status: unknown, powerW: 1e9, voltageDv: 1e7 }
      await s.send(times, more, { boot: 2 ** 52, ageS: 2 ** 31 + block * 100 })
    }
    s.bench().fog.close()
    expect([...s.bench().disk.meters.values()][0]!.state!.length).toBeGreaterThan(65_536)
    s.restart()
    await s.send(from(startS, hour), {}, { boot: 2 ** 52, ageS: 2 ** 31 + 4_000 })
    expect(s.end().windows.reduce((sum, row) => sum + Number(row[1]), 0)).toBe(32 * 63 + 1)
  })
})

describe('readings without a time that another node counts too', () => {
  const dark = { status: unknown }

  test('leave the windows they were dated into', async () => {
    const s = scene()
    await s.send([40, 50], dark, { boot: 7, ageS: 50 })
    await s.send(from(startS, 2 * hour + 100), {}, { boot: 7, ageS: 100 })
    await s.send([900], dark, { boot: 7, ageS: hour + 100 })
    s.pass(200)
    expect(windowsOf(s.bench().items())).toEqual([
      [2, 3, 20, 0, 0],
      [3, 1, 10, 0, 0],
    ])
    s.bench().fog.withdraw('meter-1', 1, 2)
    expect(s.end().windows).toEqual([
      [2, 1, 10, 0, 0],
      [3, 1, 10, 0, 0],
    ])
  })

  test('are withdrawn after a restart too, and where their time was only estimated', async () => {
    const s = scene({ fogClockS: startS + 600, maxWaitMs: 60_000 })
    await s.send([40, 50], dark, { boot: 7, ageS: 50 })
    s.pass(60)
    s.pass(200)
    expect(windowsOf(s.bench().items())).toEqual([[0, 2, 10, 2, 0]])
    s.bench().fog.close()
    s.restart()
    s.bench().fog.withdraw('meter-1', 1, 1)
    s.pass(200)
    expect(windowsOf(s.bench().items())).toEqual([[0, 1, 10, 1, 0]])
  })

  test('are not counted at all when they still wait', async () => {
    const s = scene()
    await s.send([40, 50], dark, { boot: 7, ageS: 50 })
    await s.send([60], dark, { boot: 7, ageS: 60 })
    s.bench().fog.withdraw('meter-1', 1, 1)
    expect(s.bench().fog.waitingReadings()).toBe(2)
    await s.send(from(startS, 2 * hour + 100), {}, { boot: 7, ageS: 100 })
    expect(s.end().windows).toEqual([[2, 3, 30, 0, 0]])
  })
})

describe('a clock that was set', () => {
  test.each([
    ['three hours on', 3 * hour],
    ['three hours back', -3 * hour],
  ])('%s: an event, each reading once, no energy lost or doubled', async (_, byS) => {
    const s = scene()
    await s.send(from(startS + 5 * hour, 60, 120))
    await s.send(from(startS + 5 * hour + byS, 180), { status: status.clockStep })
    await s.send(from(startS + 5 * hour + byS, 240))
    await s.send(from(startS + 5 * hour, 300), { status: status.clockStep })
    const { windows, events, gaps } = s.end()
    expect(windows.reduce((sum, row) => sum + Number(row[1]), 0)).toBe(5)
    expect(windows.reduce((sum, row) => sum + Number(row[2]), 0)).toBe(40)
    expect(new Set(events)).toEqual(new Set(['clock-step']))
    expect(gaps).toEqual([])
  })

  test('back without a word, by a meter that has no flag for it', async () => {
    const s = scene()
    await s.send(from(startS + 5 * hour, 60, 120))
    await s.send(from(startS + 2 * hour, 60, 120))
    expect(s.end().events).toEqual(['clock-step'])
  })

  test('by a few seconds is none', async () => {
    const s = scene()
    await s.send(from(startS, 60, 120, 112, 180))
    expect(s.end().events).toEqual([])
  })
})

describe('a fog node with a wrong clock', () => {
  test.each([
    ['1970', 1_000],
    ['2100', 4_102_444_800],
  ])('in %s counts like any other, prunes included', async (_, wallS) => {
    const s = scene({ fogClockS: wallS })
    await s.send(from(startS, 60, 120))
    s.pass(1)
    s.bench().fog.prune(Math.max(0, wallS - 7 * 86_400))
    await s.send(from(startS, hour + 60, 2 * hour + 60))
    s.setClock(startS)
    s.bench().fog.prune(startS - 7 * 86_400)
    await s.send(from(startS, 3 * hour + 60))
    const { windows, events } = s.end()
    expect(windows).toEqual([0, 1, 2, 3].map((at) => [at, at === 0 ? 2 : 1, 10, 0, 0]))
    expect(events).toEqual([])
  })

  test('in 2100 beside a meter that never learns the time: its guess closes no windows', async () => {
    const s = scene({ fogClockS: 4_102_444_800, maxWaitMs: 60_000 })
    await s.send([50], { status: unknown }, { boot: 7, ageS: 50 })
    s.pass(60)
    await s.send([110], { status: unknown }, { boot: 7, ageS: 110 })
    s.pass(1)
    s.bench().fog.prune(4_102_444_800 - 7 * 86_400)
    await s.send(from(startS, 60, hour + 60), {}, { boot: 7, ageS: 170 })
    const { windows, events } = s.end()
    expect(windows.reduce((sum, row) => sum + Number(row[1]), 0)).toBe(4)
    expect(events).not.toContain('not-summed-up')
  })

  test('a register of a meter whose clock is ahead goes out all the same', async () => {
    const s = scene()
    const other = simulatedMeter('meter-2', 2)
    s.bench().hello('bbbbbbbb', other)
    await s.send(from(startS + 10 * 365 * 86_400, 60))
    const registers = () =>
      s
        .bench()
        .items()
        .flatMap((item) => (item.type === 'register' ? [peekRegister(item.envelope).deviceId] : []))
        .filter((deviceId) => deviceId === 'meter-1').length
    const counts: number[] = []
    for (let i = 0; i < 60; i++) {
      s.bench().up('bbbbbbbb', report(other.sign([{ timeS: startS + i * 120 }])))
      await settled()
      s.pass(120)
      counts.push(registers())
    }
    expect([counts[20], counts.at(-1)]).toEqual([0, 1])
  })
})
