import * as fc from 'fast-check'
import { nodeCrypto } from '#crypto-node'
import { createMeter, meterDefaults, type Measurement } from '#meter'
import type { Gap, Summary } from '#messages'
import { timeQuality } from '#reading'
import { encodeDown } from '#messages'
import { fogBench, meterCredential, settled, startS } from './fog.ts'
import { memoryMeter } from './memory-meter.ts'

/** Clocks after a boot: right; in 1970; where the device was switched off; in 2100. */
export type Start = 'right' | '1970' | 'stale' | '2100'

export type TimeStep =
  | { do: 'measure'; afterS: number; usedWh: number }
  /** A shows-nothing reading: the register is 0 for once. */
  | { do: 'zero'; afterS: number }
  | { do: 'learn' }
  | { do: 'set'; byS: number }
  | { do: 'boot'; offS: number; start: Start }
  | { do: 'restart' }
  | { do: 'deliver' }
  | { do: 'crash' }
  | { do: 'wait'; seconds: number }
  | { do: 'fogClock'; start: Start }

const windowS = 60
const offsets: Record<Start, number> = {
  right: 0,
  '1970': -startS,
  stale: 0,
  '2100': 2_300_000_000,
}

/**
 * One real meter core and one real fog core under one true time, which neither of them sees: the
 * meter has a clock that may be wrong and knows whether it was set since the boot; the fog node's
 * clock is wrong as it pleases.
 */
export function timeWorld(mode: 'live' | 'block', source: 'register' | 'power') {
  let nowS = startS
  let [bootedS, bootId, clockOffS, known] = [startS, 1, 0, true]
  let fogOffS = 0
  let registerWh = 5_000_000
  const truth: { timeS: number; registerWh: number }[] = []
  const { store } = memoryMeter()
  const startedS = nowS
  const fogClock = {
    now: () => Math.max(0, nowS + fogOffS) * 1_000,
    monotonic: () => (nowS - startedS) * 1_000,
    advance: (ms: number) => {
      nowS += Math.ceil(ms / 1_000)
    },
  }
  const settings = {
    window: {
      seconds: windowS,
      graceSeconds: 0,
      idleSeconds: 180,
      minMeters: 1,
      revisionDelayMs: 0,
      activeSeconds: 900,
      maxMergeSeconds: 86_400,
      maxWindows: 20_000,
    },
    time: { maxWaitMs: 6 * 3_600_000, maxWaiting: 10_000, silenceIntervals: 5 },
    commit: { bytes: 1, maxBlocks: 512, maxWaitMs: 0 },
  }
  const credential = meterCredential('meter-1')
  let bench = fogBench({ clock: fogClock, settings })
  let meter = start()
  let cid = 0
  measure(registerWh)

  function start() {
    return createMeter({
      crypto: nodeCrypto,
      key: nodeCrypto.signingKey(new Uint8Array(32).fill(1)),
      deviceId: 'meter-1',
      clock: { now: () => 0, monotonic: () => (nowS - bootedS) * 1_000 },
      store,
      settings: { ...meterDefaults, mode, maxReadings: 4, boundarySeconds: 900, rolloverWh: null },
      boot: { id: bootId, ageS: () => nowS - bootedS },
    })
  }

  function measure(shownWh: number): void {
    const quality = known ? timeQuality.synchronised : timeQuality.unknown
    const measurement: Measurement = {
      timeS: Math.max(0, nowS + clockOffS),
      timeQuality: quality,
      ageS: nowS - bootedS,
      powerW: 600,
      ...(source === 'register' && { importWh: shownWh }),
    }
    meter.measure(measurement)
    truth.push({ timeS: nowS, registerWh })
  }

  /** A session in which everything signed arrives and is receipted. */
  async function deliver(): Promise<void> {
    const channel = `channel${String(cid++)}`
    bench.fog.open(channel, credential)
    let up = [...meter.onOpen(), ...meter.closeBlock()]
    for (let round = 0; round < 50 && up.length > 0; round++) {
      for (const payload of up) void bench.fog.receive(channel, payload)
      await settled()
      bench.fog.tick()
      up = bench.take(channel).flatMap((message) => meter.onMessage(encodeDown(message)))
    }
    meter.onClosed()
    bench.fog.closed(channel)
  }

  function crash(): void {
    bench = fogBench({ clock: fogClock, settings, disk: bench.disk })
  }

  function use(afterS: number, usedWh: number, shown: boolean): void {
    nowS += afterS
    registerWh += usedWh
    measure(shown ? registerWh : 0)
  }

  function reboot(offS: number, clock: Start): void {
    nowS += offS + 1
    clockOffS = clock === 'stale' ? clockOffS - offS : offsets[clock]
    known = clock === 'right'
    bootedS = nowS
    bootId += 1
    meter = start()
  }

  async function perform(step: TimeStep): Promise<void> {
    switch (step.do) {
      case 'measure':
        return use(step.afterS, step.usedWh, true)
      case 'zero':
        return use(step.afterS, 0, false)
      case 'learn':
        ;[known, clockOffS] = [true, 0]
        return
      case 'set':
        clockOffS += known ? step.byS : 0
        return
      case 'boot':
        return reboot(step.offS, step.start)
      case 'restart':
        meter = start()
        return
      case 'deliver':
        return deliver()
      case 'crash':
        return crash()
      case 'fogClock':
        fogOffS = offsets[step.start]
        return
      default:
        nowS += step.seconds
        bench.fog.tick()
    }
  }

  /** The meter learns the time, says what it has, and the node closes everything. */
  async function end() {
    ;[known, clockOffS] = [true, 0]
    nowS += 10
    measure(registerWh)
    await deliver()
    await deliver()
    for (let i = 0; i < 4; i++) {
      nowS += 300
      bench.fog.tick()
    }
    bench.fog.close()
    const items = bench.items()
    const latest = new Map<number, Summary>()
    const gaps = new Map<string, Gap>()
    const events: string[] = []
    for (const item of items) {
      if (item.type === 'summary') latest.set(item.summary.startS, item.summary)
      if (item.type === 'gap') gaps.set(`${item.gap.kind} ${item.gap.first}`, item.gap)
      if (item.type === 'event') events.push(item.event.code)
    }
    return { windows: [...latest.values()], gaps: [...gaps.values()], events, truth, meter }
  }

  return { perform, end }
}

const afterS = fc.integer({ min: 1, max: 90 })
const anyStart = fc.constantFrom<Start>('right', '1970', 'stale', '2100')

function weighted<T extends TimeStep>(weight: number, arbitrary: fc.Arbitrary<T>) {
  return { weight, arbitrary: arbitrary as fc.Arbitrary<TimeStep> }
}

const measuring = weighted(
  10,
  fc.record({ do: fc.constant('measure' as const), afterS, usedWh: fc.nat(50) }),
)
const ordinary = [
  measuring,
  weighted(3, fc.constantFrom({ do: 'deliver' as const }, { do: 'restart' as const })),
  weighted(2, fc.constant({ do: 'crash' as const })),
  weighted(2, fc.constant({ do: 'learn' as const })),
  weighted(1, fc.record({ do: fc.constant('fogClock' as const), start: anyStart })),
]

/** Everything that happens to clocks, transient zeros included. */
export const anyClocks: fc.Arbitrary<TimeStep[]> = fc.array(
  fc.oneof(
    ...ordinary,
    weighted(1, fc.record({ do: fc.constant('zero' as const), afterS })),
    weighted(
      2,
      fc.record({ do: fc.constant('boot' as const), offS: fc.nat(7_200), start: anyStart }),
    ),
    weighted(
      1,
      fc.record({
        do: fc.constant('set' as const),
        byS: fc.integer({ min: -20_000, max: 20_000 }),
      }),
    ),
    weighted(1, fc.record({ do: fc.constant('wait' as const), seconds: fc.nat(30_000) })),
  ),
  { minLength: 5, maxLength: 80 },
)

/** Boots in the dark, each of which learns the time before the next. */
export const learningClocks: fc.Arbitrary<TimeStep[]> = fc
  .array(
    fc.record({
      boot: fc.record({ do: fc.constant('boot' as const), offS: fc.nat(7_200), start: anyStart }),
      dark: fc.array(fc.oneof(...ordinary.filter((_, index) => index !== 3)), { maxLength: 12 }),
      light: fc.array(fc.oneof(...ordinary), { maxLength: 12 }),
      measure: measuring.arbitrary,
    }),
    { minLength: 1, maxLength: 5 },
  )
  .map((boots) =>
    boots.flatMap(({ boot, dark, light, measure }): TimeStep[] => [
      boot,
      ...dark,
      { do: 'learn' },
      measure,
      ...light,
    ]),
  )
