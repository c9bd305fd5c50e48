import { expect, test } from 'vitest'
import { createChip } from '../../apps/emulator/chip.ts'
import { openFlashChip } from '../../apps/emulator/flash-chip.ts'
import { Exhausted } from '../../apps/emulator/firmware/memory.ts'
import type { Firmware } from '../../apps/emulator/firmware/host.ts'
import { nativePrimitives } from '../../apps/emulator/native.ts'
import { profiles } from '../../apps/emulator/profiles.ts'
import type { ChipEvent, Modem, Time } from '../../apps/emulator/surroundings.ts'
import { createWifi } from '../../apps/emulator/wifi.ts'
import { seededRandom } from '../support/random.ts'

/** Time that passes when nothing is left to do at this moment. */
function virtualTime() {
  let nowMs = 0
  let due: { atMs: number; run: () => void }[] = []
  const after = (ms: number, run: () => void) => void due.push({ atMs: nowMs + ms, run })
  const time: Time = { nowMs: () => nowMs, after, asleep: after }
  return {
    time,
    passUntil: (endMs: number): void => {
      for (;;) {
        const next = due.toSorted((a, b) => a.atMs - b.atMs)[0]
        if (next === undefined || next.atMs > endMs) break
        due = due.filter((one) => one !== next)
        nowMs = next.atMs
        next.run()
      }
      nowMs = endMs
    },
  }
}

/** A chip with a firmware of which nothing but its use of the radio is of interest. */
function chipWith(firmware: Partial<Firmware>, downs: readonly Uint8Array[] = []) {
  const events: ChipEvent[] = []
  const { time, passUntil } = virtualTime()
  const fraction = seededRandom(1)
  const random = (length: number) => Uint8Array.from({ length }, () => fraction() * 256)
  const modem: Modem = {
    connect(_, peer) {
      time.after(10, () => {
        peer.up()
        for (const down of downs) peer.message(down)
      })
      return { publish: () => undefined, close: () => undefined, drop: () => undefined }
    },
  }
  const profile = profiles.esp32
  const chip = createChip({
    profile,
    provision: {
      signingSecret: new Uint8Array(32),
      credential: new Uint8Array(),
      authorityKey: new Uint8Array(32),
      node: 'fog-1',
      bootBytes: 0,
      reserveBytes: 0,
      roomBytes: 0,
    },
    flash: openFlashChip({ sectors: 4, sectorBytes: 4_096, random }),
    start: (host) => ({
      firmware: {
        measure: () => true,
        wantsLink: () => true,
        online: () => host.connect('aaaaaaaa'),
        connected: () => undefined,
        receive: () => undefined,
        disconnected: () => undefined,
        tick: () => undefined,
        nextTickAt: () => Infinity,
        delivered: () => false,
        closeBlock: () => undefined,
        status: () => '{}',
        ...firmware,
      },
      heapBytes: () => 0,
      dispose: () => undefined,
    }),
    native: nativePrimitives,
    time,
    modem,
    wifi: createWifi({ fraction, associateMs: [800, 800], missed: 0, broken: 0, outageEveryMs: 0 }),
    random,
    driftPpm: 0,
    shows: () => ({ powerW: 1, importWh: 1, exportWh: 0 }),
    intervalS: 60,
    onEvent: (event) => events.push(event),
  })
  return { chip, passUntil, events }
}

test('a message longer than a chip has room for is let go of, not a want of memory', () => {
  const heard: number[] = []
  const downs = [300, 1_024, 1_025, 54_000, 20].map((length) => new Uint8Array(length))
  const { chip, passUntil, events } = chipWith(
    { receive: ({ length }) => void heard.push(length) },
    downs,
  )
  chip.powerOn()
  passUntil(5_000)
  expect(heard).toEqual([300, 1_024, 20])
  const dropped = events.filter(({ event }) => event === 'message-too-long')
  expect(dropped.map(({ bytes }) => bytes)).toEqual([1_025, 54_000])
})

test('a chip that lacks memory in every session gives up, though its readings succeed', () => {
  const firmware = {
    connected: () => {
      throw new Exhausted()
    },
  }
  const { chip, passUntil, events } = chipWith(firmware)
  chip.powerOn()
  passUntil(3_600_000)
  const counts = Object.groupBy(events, ({ event }) => event)
  expect(counts['out-of-memory']).toHaveLength(6)
  expect(counts['reading']).toHaveLength(6)
  expect(counts['gave-up']).toHaveLength(1)
  expect(chip.finished).toBe(true)
})

test('one that sleeps in between goes on', () => {
  let sessions = 0
  const firmware = {
    connected: () => {
      sessions += 1
      if (sessions % 3 !== 0) throw new Exhausted()
    },
    delivered: () => sessions % 3 === 0,
  }
  const { chip, passUntil, events } = chipWith(firmware)
  chip.powerOn()
  passUntil(3_600_000)
  const counts = Object.groupBy(events, ({ event }) => event)
  expect(counts['session']!.length).toBeGreaterThan(50)
  expect(counts['gave-up']).toBeUndefined()
})
