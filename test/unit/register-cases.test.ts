import { describe, expect, test } from 'vitest'
import { createCloud, createMemoryStore } from '#cloud'
import { createTrust, decodeCredential, issueCredential } from '#credential'
import { nodeCrypto } from '#crypto-node'
import { encodeDown, encodeItems, type Summary } from '#messages'
import { createMeter, meterDefaults, type Measurement, type MeterSettings } from '#meter'
import { status } from '#reading'
import {
  authority,
  fogBench,
  meterCredential,
  settled,
  startS,
  virtualClock,
} from '../support/fog.ts'
import { createRegisters, type RegisterState } from '../../libs/meter/registers.ts'
import { memoryMeter } from '../support/memory-meter.ts'

/**
 * What physical meters and their adapters do, played through the real cores: meter, fog node, cloud.
 * `project#N` names a public report of what it did to another system.
 */

/** Half a minute between readings unless a measurement says otherwise. */
const rhythmS = 30

type Seen = Partial<Measurement> & { afterS?: number; restart?: true }

async function through(seen: readonly Seen[], settings: Partial<MeterSettings> = {}) {
  const clock = virtualClock()
  const store = memoryMeter().store
  const events: string[] = []
  const [boot, age] = [{ id: 1 }, { s: 0 }]
  const start = () =>
    createMeter({
      crypto: nodeCrypto,
      key: nodeCrypto.signingKey(new Uint8Array(32).fill(1)),
      deviceId: 'meter-1',
      clock,
      store,
      settings: { ...meterDefaults, mode: 'block', maxReadings: 3, ...settings },
      boot: { id: boot.id, ageS: () => age.s },
      onEvent: (event) => events.push('what' in event ? event.what : event.type),
    })
  let meter = start()
  let timeS = startS
  const registers: number[] = []
  for (const { afterS = rhythmS, restart, ...measurement } of seen) {
    if (restart) {
      boot.id += 1
      age.s = 0
      meter = start()
    }
    timeS += afterS
    age.s += afterS
    meter.measure({ timeS, powerW: 600, ...measurement })
    registers.push(meter.status().importWh)
  }
  const fog = fogBench({ clock })
  const cid = 'aaaaaaaa'
  fog.fog.open(cid, meterCredential('meter-1'))
  let up = [...meter.onOpen(), ...meter.closeBlock()]
  while (up.length > 0) {
    for (const payload of up) void fog.fog.receive(cid, payload)
    await fog.commit()
    up = fog.take(cid).flatMap((message) => meter.onMessage(encodeDown(message)))
  }
  await settled()
  clock.advance(400_000)
  fog.fog.tick()
  fog.fog.close()
  const windows = new Map<number, Summary>()
  for (const item of fog.items()) {
    if (item.type === 'summary') windows.set(item.summary.startS, item.summary)
  }
  const windowWh = [...windows.values()].reduce((sum, { importWh }) => sum + importWh, 0)
  return { registers, windowWh, events, ...inTheCloud([...fog.disk.items.values()]) }
}

/** What the cloud makes of the fog node's outbox. */
function inTheCloud(items: readonly Uint8Array[]) {
  const store = createMemoryStore()
  const cloud = createCloud({
    crypto: nodeCrypto,
    clock: virtualClock(),
    store,
    trust: createTrust({ crypto: nodeCrypto, authorityKey: authority.publicKey, now: () => null }),
  })
  const fog = decodeCredential(
    issueCredential({
      authority,
      issuer: 'test',
      deviceId: 'fog-1',
      role: 'fog',
      group: 'default',
      publicKey: nodeCrypto.signingKey(new Uint8Array(32).fill(3)).publicKey,
      notBeforeS: startS - 1_000,
      notAfterS: startS + 1_000_000_000,
      id: new Uint8Array(8).fill(3),
    }),
  )
  cloud.opened('c1', fog)
  for (let at = 0; at < items.length; at += 128) {
    cloud.received('c1', fog, encodeItems(at + 1, items.slice(at, at + 128)))
    cloud.flush()
  }
  const { contents } = store
  return {
    refused: contents.refused.map(({ code }) => code),
    cloudEvents: [...new Set(contents.events.map(({ code }) => code))].toSorted(),
    gaps: contents.gaps.map(({ kind, first, last, importWh }) => [kind, first, last, importWh]),
    signedWh: contents.registers.at(-1)?.statement.endImportWh,
    flags: contents.registers.map(({ flags }) => flags),
  }
}

const kwh = (...values: number[]): Seen[] => {
  return values.map((value) => ({ importWh: Math.round(value * 1_000) }))
}

interface Case {
  seen: Seen[]
  settings?: Partial<MeterSettings>
  /** The register of each reading, Wh after the first one. */
  gained: number[]
  /** What the meter says, what reaches the cloud's list of events, which ranges it lists. */
  says?: string[]
  cloud?: string[]
  gaps?: (string | number | null)[][]
}

const cases: Record<string, Case> = {
  'home-assistant core#114630: shows 0 for one reading': {
    seen: kwh(8_123.4, 8_123.5, 0, 8_123.6, 8_123.7),
    gained: [0, 100, 100, 200, 300],
    says: ['held'],
    gaps: [['substitute', 3, 3, 0]],
  },
  'home-assistant core#57900: shows 0, then an old value, for a while': {
    seen: kwh(8_123.4, 0, 0, 0, 0, 8_100, 8_123.8),
    gained: [0, 0, 0, 0, 0, 0, 400],
    says: ['held', 'held', 'held', 'held', 'held'],
    gaps: [['substitute', 2, 6, 0]],
  },
  'counts up from 0 after losing power, then remembers': {
    seen: kwh(21.56, 0, 0.005, 0.01, 0.015, 0.02, 21.59),
    gained: [0, 0, 0, 0, 15, 20, 30],
    says: ['held', 'held', 'held', 'reset', 'returned'],
    cloud: ['register-reset'],
    gaps: [['substitute', 2, 4, 0]],
  },
  'grott#99: a 0.1 kWh step back became 215.6 kWh': {
    seen: kwh(215.6, 215.5, 215.6, 215.7),
    gained: [0, 0, 0, 100],
    says: ['held'],
    gaps: [['substitute', 2, 2, 0]],
  },
  'the same, with the lower value for longer': {
    seen: kwh(215.6, 215.5, 215.5, 215.5, 215.5, 215.6, 215.7),
    gained: [0, 0, 0, 0, 0, 0, 100],
    says: ['held', 'held', 'reset', 'returned'],
    cloud: ['register-reset'],
    gaps: [['substitute', 2, 3, 0]],
  },
  '4 294 967.295 kWh, a 32-bit register of ones, for one reading': {
    seen: kwh(120.1, 4_294_967.295, 120.2, 120.3),
    gained: [0, 0, 100, 200],
    says: ['held'],
    gaps: [['substitute', 2, 2, 0]],
  },
  'a jump of 60 kWh in half a minute that stays': {
    seen: kwh(120.1, 180.1, 180.1, 180.2, 180.3),
    gained: [0, 0, 0, 100, 200],
    says: ['held', 'held', 'reset'],
    cloud: ['register-reset'],
    gaps: [['substitute', 2, 3, 0]],
  },
  'dsmr-reader#2089: the grid operator replaced the meter, and the adapter says so': {
    seen: [...kwh(8_123.4, 8_123.5), { importWh: 12, replaced: true }, ...kwh(0.112, 0.212)],
    gained: [0, 100, 100, 200, 300],
    says: ['replaced'],
    cloud: ['meter-replaced'],
  },
  'home-assistant core#140300: replaced, and nobody says so': {
    seen: kwh(8_123.4, 8_123.5, 0.01, 0.02, 0.03, 0.04),
    gained: [0, 100, 100, 100, 120, 130],
    says: ['held', 'held', 'reset'],
    cloud: ['register-reset'],
    gaps: [['substitute', 3, 4, 0]],
  },
  'home-assistant frontend#28177: replaced by a used one that shows more': {
    seen: [...kwh(8_123.4), { importWh: 31_000_000, replaced: true }, ...kwh(31_000.1)],
    gained: [0, 0, 100],
    says: ['replaced'],
    cloud: ['meter-replaced'],
  },
  'a register of six digits starts again': {
    seen: kwh(999_999.8, 999_999.9, 0.1, 0.2),
    settings: { rolloverWh: 1_000_000_000 },
    gained: [0, 100, 300, 400],
    says: ['rollover'],
    cloud: ['register-reset'],
  },
  'a register of five digits starts again, showing 0 first': {
    seen: kwh(99_999.8, 99_999.9, 0, 0.1, 0.2),
    settings: { rolloverWh: 100_000_000 },
    gained: [0, 100, 100, 300, 400],
    says: ['held', 'rollover'],
    cloud: ['register-reset'],
    gaps: [['substitute', 3, 3, 0]],
  },
  'a register of five digits starts again, and nobody knew': {
    seen: kwh(99_999.9, 0.1, 0.2, 0.3, 0.4),
    gained: [0, 0, 0, 200, 300],
    says: ['held', 'held', 'reset'],
    cloud: ['register-reset'],
    gaps: [['substitute', 2, 3, 0]],
  },
  'a sum of two tariffs of six digits, one of which starts again': {
    seen: kwh(1_299_999.8, 1_299_999.9, 300_000.1, 300_000.2),
    settings: { rolloverWh: 1_000_000_000 },
    gained: [0, 100, 300, 400],
    says: ['rollover'],
    cloud: ['register-reset'],
  },
  'a sum falls by more than a roll-over': {
    seen: kwh(1_299_999.9, 299_990, 299_990.1, 299_990.2, 299_990.3),
    settings: { rolloverWh: 1_000_000_000 },
    gained: [0, 0, 0, 200, 300],
    says: ['held', 'held', 'reset'],
    cloud: ['register-reset'],
    gaps: [['substitute', 2, 3, 0]],
  },
  'power alone, and one reading of a gigawatt': {
    seen: [
      { powerW: 3_600 },
      { powerW: 3_600 },
      { powerW: 999_999_999 },
      { powerW: -999_999_999 },
      { powerW: 3_600 },
    ],
    gained: [0, 30, 30, 30, 60],
    says: ['held', 'held'],
    gaps: [['substitute', 3, 4, 0]],
  },
  'three days without readings, the register went on': {
    seen: [...kwh(500, 500.1, 500.2), { importWh: 536_200, afterS: 3 * 86_400 }, ...kwh(536.3)],
    gained: [0, 100, 200, 36_200, 36_300],
    gaps: [['silence', 3, 4, 36_000]],
  },
  'the register is left out for some readings': {
    seen: [...kwh(500), {}, {}, ...kwh(500.3)],
    gained: [0, 0, 0, 300],
    says: ['held', 'held'],
    gaps: [['substitute', 2, 3, 0]],
  },
  'emoncms#1632: an accumulator that starts at 0 after a power cut': {
    seen: [
      { powerW: 3_600 },
      { powerW: 3_600 },
      { powerW: 3_600, restart: true },
      { powerW: 3_600 },
    ],
    gained: [0, 30, 60, 90],
  },
  'half an hour of power readings lost, not filled with energy': {
    seen: [
      { powerW: 3_600 },
      { powerW: 3_600 },
      { powerW: 3_600, afterS: 1_800 },
      { powerW: 3_600 },
    ],
    gained: [0, 30, 30, 60],
    says: ['gap'],
    gaps: [['substitute', 3, 3, 0]],
  },
  'dsmr-reader#694: telegrams from the future': {
    seen: [{ importWh: 1_000 }, { importWh: 1_100, timeS: startS + 7_200 }, { importWh: 1_200 }],
    gained: [0, 100, 200],
    says: ['clock-step'],
    cloud: ['clock-step'],
  },
  'dsmr-reader#1225: the meter is five months behind': {
    seen: [0, 1, 2].map((i) => ({
      importWh: 1_000 + 100 * i,
      timeS: startS - 150 * 86_400 + rhythmS * i,
    })),
    gained: [0, 100, 200],
    // Before it was enrolled, says the cloud, and keeps it.
    cloud: ['register-time'],
  },
  'dsmr-reader#1026: stamped 1970 until the clock is set': {
    seen: [
      { importWh: 1_000, timeS: 50, timeQuality: 2 },
      { importWh: 1_100, timeS: 80, timeQuality: 2 },
      { importWh: 1_200 },
    ],
    gained: [0, 100, 200],
    cloud: ['time-corrected'],
  },
}

describe('what meters do', () => {
  test.each(Object.entries(cases))('%s', async (_, expected) => {
    const result = await through(expected.seen, expected.settings)
    const firstWh = result.registers[0]!
    expect(result.registers.map((wh) => wh - firstWh)).toEqual(expected.gained)
    // The windows add up to the register, and the register in the cloud is the meter's own.
    expect(result.windowWh).toBe(expected.gained.at(-1))
    expect(result.signedWh).toBe(result.registers.at(-1))
    expect(result.refused).toEqual([])
    expect(result.events).toEqual(expected.says ?? [])
    expect(result.cloudEvents).toEqual(expected.cloud ?? [])
    expect(result.gaps).toEqual(expected.gaps ?? [])
  })
})

function play(rows: readonly Partial<Measurement>[]) {
  const registers = createRegisters(meterDefaults)
  let state: RegisterState | null = null
  return rows.map((row) => {
    const m = { timeS: 0, powerW: 0, ...row }
    const step = registers.advance(state, m, state === null ? null : rhythmS)
    const { importWh, exportWh, memory, events, flags } = step
    state = { ...memory, importWh, exportWh }
    expect(flags & status.integratedRegister).not.toBe(0)
    return [importWh, exportWh, ...events]
  })
}

describe('a meter that counts only what a roof delivers', () => {
  test('its register is what is signed, not its power', () => {
    const shown = [70_000, 70_050, 70_100].map((exportWh) => ({ powerW: -3_600, exportWh }))
    expect(play(shown)).toEqual([
      [0, 70_000],
      [0, 70_050],
      [0, 70_100],
    ])
  })

  test('what it draws at night is integrated; its register never goes back', () => {
    const seen = [
      { exportWh: 500 },
      { exportWh: 500, powerW: 360 },
      { exportWh: 0, powerW: 360 },
      { powerW: 360 },
      { exportWh: 502, powerW: -360 },
      { exportWh: 7, replaced: true },
      { exportWh: 9 },
    ]
    expect(play(seen)).toEqual([
      [0, 500],
      [3, 500],
      [6, 500, 'held'],
      [9, 500, 'held'],
      [9, 502],
      [9, 502, 'replaced'],
      [9, 504],
    ])
  })

  test('power alone first, its register later: the sum goes on', () => {
    const seen = [{ powerW: -3_600 }, { powerW: -3_600 }, { exportWh: 900 }, { exportWh: 901 }]
    expect(play(seen)).toEqual([
      [0, 0],
      [0, 30],
      [0, 30, 'reset'],
      [0, 31],
    ])
  })
})
