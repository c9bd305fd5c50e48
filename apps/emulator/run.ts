import type { DeviceIdentity } from '#identity'
import { systemRandom } from '#service'
import { createChip } from './chip.ts'
import { loadFirmware, type Variant } from './build.ts'
import { openFlashChip } from './flash-chip.ts'
import { householdMeter } from './household.ts'
import type { Spent } from './ledger.ts'
import { mqttModem, type Access } from './modem.ts'
import { nativePrimitives } from './native.ts'
import type { Profile } from './profiles.ts'
import { createScaledTime } from './time.ts'
import type { ChipEvent } from './surroundings.ts'
import { startMachine } from './vm.ts'
import { createWifi } from './wifi.ts'

export interface EmulateOptions {
  profile: Profile
  variant: Variant
  identity: DeviceIdentity
  node: string
  broker: Access
  /** The flash as a file; it holds a meter's readings like any other store. */
  flashPath: string
  /** Seed of the household. */
  seed: number
  intervalS: number
  /** Sleep passes this many times as fast. */
  timeScale: number
  /** About so many power cuts a day, while it is awake. */
  brownOuts: number
  /** Ends after this many readings, everything delivered; Infinity: when `signal` says so. */
  readings: number
  signal: AbortSignal
  onEvent(event: ChipEvent): void
}

export interface Emulated {
  readings: number
  sessions: number
  days: number
  spent: Spent
  /** Most erasures of a sector so far, and how many it is good for. */
  mostErases: number
  ratedErases: number
  /** False when the chip gave up: its memory is too small. */
  delivered: boolean
}

/** Free before a step of the firmware begins, and before an operation; test/fit shows that it is enough. */
export const freeBytes = { bootBytes: 65_536, reserveBytes: 16_384, roomBytes: 12_288 }

const DAY_MS = 86_400_000
const LONGEST_OFF_MS = 20_000

/** A random number in [0, 1). */
function fraction(): number {
  return new DataView(systemRandom(4).buffer).getUint32(0) / 2 ** 32
}

/** Emulates one chip against a real broker until it has done what was asked. */
export async function emulate(options: EmulateOptions): Promise<Emulated> {
  const { profile, identity, node, signal } = options
  const loaded = await loadFirmware(options.variant)
  const time = createScaledTime(options.timeScale)
  const startMs = time.nowMs()
  const { sectors, sectorBytes, ratedErases } = profile.flash
  const flash = openFlashChip({
    sectors,
    sectorBytes,
    random: systemRandom,
    path: options.flashPath,
  })
  const ended = Promise.withResolvers<boolean>()
  let over = false
  let [readings, sessions] = [0, 0]
  const { associateMs, driftPpm } = profile
  const chip = createChip({
    profile,
    flash,
    provision: {
      signingSecret: identity.signingSecret,
      credential: identity.credential.encoded,
      authorityKey: identity.authorityKey,
      node,
      ...freeBytes,
    },
    start: (host, provision) =>
      startMachine({ ...loaded, memoryBytes: profile.memoryBytes, host, provision }),
    native: nativePrimitives,
    time,
    modem: mqttModem(options.broker, node),
    wifi: createWifi({ fraction, associateMs }),
    random: systemRandom,
    driftPpm: (2 * fraction() - 1) * driftPpm,
    shows: householdMeter(options.seed, startMs),
    intervalS: options.intervalS,
    onEvent(event) {
      if (over) return
      options.onEvent(event)
      if (event.event === 'session') sessions += 1
      if (event.event === 'reading' && event['recorded'] === true) {
        readings += 1
        if (readings >= options.readings) chip.finish()
        else maybeCut()
      }
      if (event.event === 'finished') ended.resolve(true)
      if (event.event === 'gave-up') ended.resolve(false)
    },
  })

  /** In one of the next writes, or in the seconds after this one. */
  function maybeCut(): void {
    if (fraction() >= (options.brownOuts * options.intervalS * 1_000) / DAY_MS) return
    const offMs = fraction() * LONGEST_OFF_MS
    if (fraction() < 0.5) chip.cutInWrite(Math.floor(fraction() * 6), offMs)
    else time.after(fraction() * 3_000, () => chip.cut(offMs))
  }

  signal.addEventListener('abort', () => ended.resolve(true), { once: true })
  chip.powerOn()
  try {
    const delivered = await ended.promise
    const days = (time.nowMs() - startMs) / DAY_MS
    const mostErases = Math.max(...flash.erases)
    return { readings, sessions, days, spent: chip.spent(), mostErases, ratedErases, delivered }
  } finally {
    over = true
    chip.cut(null)
    time.close()
    flash.close()
  }
}
