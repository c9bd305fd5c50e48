import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { nodeCrypto } from '#crypto-node'
import { CodedError } from '#errors'
import type { ExcerptDay } from '#household'
import { encodeDown } from '#messages'
import { createMeter, meterDefaults, type Measurement } from '#meter'
import { openMeterStore, type MeterStoreFile } from '#meter-store'
import type { InitiatorLink } from '#mqtt-link'
import { createGroup } from '../../apps/meter/group.ts'
import { replayHousehold } from '../../apps/meter/replay.ts'
import { openTimeSense } from '../../apps/meter/clock.ts'
import { openSource } from '../../apps/meter/source.ts'
import { openTimeline } from '../../apps/meter/timeline.ts'
import { createUnit } from '../../apps/meter/unit.ts'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'fogmeter-parts-'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

const log = { debug: () => undefined, info: () => undefined, warn: () => undefined }
const still = { now: () => 0, monotonic: () => 0 }

/** Two welcomed meters on one file whose commits can be made to fail at the last moment. */
function twoMeters() {
  const file = openMeterStore(join(folder, 'two.db'))
  const sent: string[] = []
  let failing = false
  let committing = false
  const store: MeterStoreFile = {
    ...file,
    transaction: (work) => {
      committing = true
      const result = file.transaction(() => {
        const inner = work()
        if (failing) throw new CodedError('sqlite/full', 'the disk is full')
        return inner
      })
      committing = false
      return result
    },
  }
  const units = ['a', 'b'].map((deviceId) => {
    const meter = createMeter({
      crypto: nodeCrypto,
      key: nodeCrypto.signingKey(new Uint8Array(32).fill(3)),
      deviceId,
      clock: still,
      store: file.meter(deviceId),
      settings: { ...meterDefaults, mode: 'block', maxReadings: 2 },
    })
    const unit = createUnit(meter)
    const send = () => {
      sent.push(committing ? `${deviceId} too early` : deviceId)
      return true
    }
    unit.link = {
      state: 'open',
      send,
      reconnect: () => sent.push(`${deviceId} reconnects`),
    } as unknown as InitiatorLink
    unit.onOpen()
    unit.send(meter.onMessage(encodeDown({ type: 'welcome', durable: 0 })))
    return unit
  })
  const group = createGroup(store, units, log)
  const measureBoth = (timeS: number) => {
    for (const unit of units) group.submit(unit, { timeS, powerW: 1 })
    group.flush()
  }
  sent.length = 0
  return { file, group, units, sent, measureBoth, fail: (on: boolean) => (failing = on) }
}

describe('a group of meters on one store', () => {
  test('one commit for all, and nothing leaves before it', () => {
    const { file, measureBoth, sent } = twoMeters()
    measureBoth(1_800_000_001)
    expect(sent).toEqual([])
    measureBoth(1_800_000_002)
    expect(sent).toEqual(['a', 'b'])
    file.close()
  })

  test('a commit that fails sends nothing, loses nothing older, and is over with the next good one', () => {
    const { file, group, units, measureBoth, sent, fail } = twoMeters()
    measureBoth(1_800_000_001)
    fail(true)
    measureBoth(1_800_000_002)
    expect(sent).toEqual([])
    expect(group.failure()?.code).toBe('sqlite/full')
    expect(units.map(({ meter }) => meter.status().newestNumber)).toEqual([1, 1])
    fail(false)
    group.tick()
    expect(group.failure()).toBeNull()
    expect(sent).toEqual(['a reconnects', 'b reconnects'])
    measureBoth(1_800_000_003)
    expect(units.map(({ meter }) => meter.status())).toMatchObject([
      { newestNumber: 2, sealedThrough: 2 },
      { newestNumber: 2, sealedThrough: 2 },
    ])
    file.close()
  })

  test('one meter’s nonsense does not touch its neighbours', () => {
    const { file, group, units } = twoMeters()
    const [a, b] = units
    group.submit(a!, { timeS: 1_800_000_001, powerW: 0.5 })
    group.submit(b!, { timeS: 1_800_000_001, powerW: 1 })
    group.flush()
    expect(units.map(({ meter }) => meter.status().newestNumber)).toEqual([0, 1])
    file.close()
  })
})

const day = (date: string, base: number, missing: number[] = []): ExcerptDay => ({
  date,
  samples: Array.from({ length: 1_440 }, (_, minute) => ({
    minute,
    powerW: base + minute,
    voltageDv: 2_300,
    currentMa: 1,
  })).filter(({ minute }) => !missing.includes(minute)),
})

describe('replayed households', () => {
  const DAY_S = 86_400
  const days = [day('2006-12-17', 0, [2]), day('2006-12-18', 10_000)]
  const take = (
    count: number,
    options: { house: number; startS: number; intervalSeconds: number },
  ) => {
    const model = replayHousehold(days, options)
    return Array.from({ length: count }, () => model.next().value)
  }

  test('power of the minute that ends, registers that integrate it, nothing for a gap', () => {
    const seen = take(4, { house: 0, startS: 10 * DAY_S, intervalSeconds: 60 })
    expect(seen.map((m) => m && [m.timeS - 10 * DAY_S, m.powerW])).toEqual([
      [60, 0],
      [120, 1],
      null,
      [240, 3],
    ])
  })

  test('houses live different days, days follow each other, energy adds up to the Wh', () => {
    const all = take(1_441, { house: 1, startS: 10 * DAY_S, intervalSeconds: 60 })
    expect([all[0]?.powerW, all[1_439]?.powerW, all[1_440]?.powerW]).toEqual([10_000, 11_439, 0])
    const wattSeconds = all.reduce((sum, m) => sum + (m?.powerW ?? 0) * 60, 0)
    expect(all.at(-1)?.importWh).toBe(Math.floor(wattSeconds / 3_600))
  })

  test('longer intervals carry the mean of their minutes, shorter ones their minute', () => {
    expect(take(1, { house: 1, startS: 0, intervalSeconds: 300 })[0]).toMatchObject({
      powerW: 10_002,
    })
    const short = take(7, { house: 1, startS: 0, intervalSeconds: 10 })
    expect(short.map((m) => m?.powerW)).toEqual([
      10_000, 10_000, 10_000, 10_000, 10_000, 10_000, 10_001,
    ])
  })
})

function at(
  nowMs: number,
  more: { startS?: number; timeScale?: number; remembered?: Uint8Array } = {},
) {
  const { startS = null, timeScale = 60, remembered = null } = more
  const clock = { ms: nowMs, now: () => clock.ms, monotonic: () => clock.ms }
  let note = remembered
  const timeline = openTimeline({
    clock,
    startS,
    timeScale,
    remembered,
    intervalSeconds: 60,
    remember: (bytes) => (note = bytes),
  })
  return { clock, timeline, note: () => note ?? new Uint8Array() }
}

describe('timeline', () => {
  const NOW = 1_800_000_007_000

  test('runs time_scale times as fast from the interval it began in', () => {
    const { clock, timeline } = at(NOW)
    expect(timeline.anchorS).toBe(1_800_000_000)
    clock.ms += 2_000
    expect(timeline.nowS()).toBe(1_800_000_120)
    expect(timeline.msUntil(1_800_000_180)).toBe(1_000)
  })

  test('goes on where it would have been after a restart, unless the settings changed', () => {
    const { note } = at(NOW)
    expect(at(NOW + 10_000, { remembered: note() }).timeline.nowS()).toBe(1_800_000_600)
    expect(at(NOW + 10_000, { remembered: note(), timeScale: 10 }).timeline.nowS()).toBe(
      1_800_000_000,
    )
  })

  test('a start close to now is a moment all processes share; one far away begins now', () => {
    const startS = 1_800_000_000
    expect(at(NOW, { startS }).timeline.nowS()).toBe(startS + 7 * 60)
    expect(at(NOW + 3_000, { startS }).timeline.nowS()).toBe(startS + 10 * 60)
    expect(at(NOW, { startS: 1_000_000_020 }).timeline.nowS()).toBe(1_000_000_020)
  })
})

/** `timesync` is where systemd-timesyncd says whether it has set the clock. */
const readOneLine = async (
  nowS: number,
  line = '{"power_w":7}',
  timesync = '/nowhere',
): Promise<Measurement[]> => {
  const clock = { now: () => nowS * 1_000, monotonic: () => 0 }
  const source = openSource({
    config: { kind: 'stdin' },
    index: 0,
    clock,
    time: openTimeSense({ clock, askTimesyncd: timesync !== 'do not ask', folder: timesync }),
    timeline: null,
    log: { info: () => undefined, warn: () => undefined, debug: () => undefined },
    port: null,
    newestTimeS: 0,
    input: Readable.from([`${line}\n`]),
    signal: new AbortController().signal,
    onBadLine: (error) => {
      throw error
    },
  })
  return Array.fromAsync(source)
}

test('a line without a time is of now, with unknown quality from a clock that was never set', async () => {
  expect(await readOneLine(1_800_000_000)).toMatchObject([{ timeS: 1_800_000_000, powerW: 7 }])
  expect(await readOneLine(5_000)).toMatchObject([{ timeS: 5_000, timeQuality: 2 }])
})

const qualities = async (...line: Parameters<typeof readOneLine>) =>
  (await readOneLine(...line)).map(({ timeQuality }) => timeQuality)

const lineOf = (quality: string) => `{"time":90,"time_quality":"${quality}","power_w":7}`

describe('a machine that was switched off and has no clock chip', () => {
  const yesterday = 1_800_000_000

  test('does not know the time until the service has set it, however likely it looks', async () => {
    expect(await qualities(yesterday, undefined, folder)).toEqual([2])
    writeFileSync(join(folder, 'synchronized'), '')
    expect(await qualities(yesterday, undefined, folder)).toEqual([0])
    expect(await qualities(5_000, undefined, folder)).toEqual([2])
    rmSync(join(folder, 'synchronized'))
    expect(await qualities(yesterday, undefined, 'do not ask')).toEqual([0])
  })

  test('a line with a time is believed as far as it says itself', async () => {
    expect(await qualities(yesterday, '{"time":90,"power_w":7}', folder)).toEqual([0])
    expect(await qualities(yesterday, lineOf('estimated'))).toEqual([1])
    expect(await qualities(yesterday, lineOf('unknown'))).toEqual([2])
  })

  test('programs started after the same boot agree on it', () => {
    const clock = { now: () => 0, monotonic: () => 0 }
    const [a, b] = [1, 2].map(() => openTimeSense({ clock, askTimesyncd: true }).boot)
    expect(a!.id).toBe(b!.id)
    expect(Number.isSafeInteger(a!.id) && a!.ageS() >= 0).toBe(true)
  })
})
