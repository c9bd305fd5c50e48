import { nativeCrypto } from '#crypto-native'
import { createChip, type Chip } from '../../../apps/emulator/chip.ts'
import type { ChipEvent, Modem, Running, Shown } from '../../../apps/emulator/surroundings.ts'
import { openFlashChip, type FlashChip } from '../../../apps/emulator/flash-chip.ts'
import { createFirmware } from '../../../apps/emulator/firmware/main.ts'
import type { Host, Provision } from '../../../apps/emulator/firmware/host.ts'
import { nativePrimitives } from '../../../apps/emulator/native.ts'
import type { Profile } from '../../../apps/emulator/profiles.ts'
import { createWifi } from '../../../apps/emulator/wifi.ts'
import type { Provisioned } from '../../support/chip-people.ts'
import { createChance } from '../../sim/chance.ts'
import { startWallMs } from '../../sim/clock.ts'
import type { Engine } from '../../sim/engine.ts'
import type { Broker } from '../../sim/network.ts'
import { createPhysical } from './physical.ts'

export interface Device {
  deviceId: string
  chip: Chip
  flash: FlashChip
  /**
   * What the meter on the wall showed at each reading, in order. Where the power went before the chip
   * could say that it is recorded, it may be: the last word may have been in the flash already.
   */
  shown: (Shown & { recorded: boolean })[]
  /** Highest number the fog node has acknowledged, as the chip understood it. */
  acknowledged: number
  counts: Record<string, number>
  sessionMs: number[]
  /** From now on its Wi-Fi is always there. */
  heal(): void
}

export interface DeviceOptions {
  engine: Engine
  broker: Broker
  profile: Profile
  own: Provisioned
  authorityKey: Uint8Array
  seed: number
  sectors: number
}

/** One chip in the simulation, with its flash, its Wi-Fi and the meter it reads. */
export function createDevice(options: DeviceOptions): Device {
  const { engine, broker, profile, own, sectors } = options
  const { deviceId } = own.credential
  const chance = createChance(options.seed)
  const nowMs = () => startWallMs + engine.nowMs
  const flash = openFlashChip({ sectors, sectorBytes: 4_096, random: chance.bytes })
  const bad = createWifi({ fraction: () => chance.fraction(), associateMs: profile.associateMs })
  const good = createWifi({
    fraction: () => chance.fraction(),
    associateMs: profile.associateMs,
    missed: 0,
    broken: 0,
    outageEveryMs: 0,
  })
  let wifi = bad
  const physical = createPhysical(chance, nowMs())
  const device: Device = {
    deviceId,
    flash,
    shown: [],
    acknowledged: 0,
    counts: {},
    sessionMs: [],
    heal: () => void (wifi = good),
    chip: createChip({
      profile,
      flash,
      provision: {
        signingSecret: own.secret,
        credential: own.credential.encoded,
        authorityKey: options.authorityKey,
        node: 'fog-1',
        bootBytes: 0,
        reserveBytes: 0,
        roomBytes: 0,
      },
      start: startPlain,
      native: nativePrimitives,
      time: {
        nowMs,
        after: (ms, run) => engine.after(ms, run),
        asleep: (ms, run) => engine.after(ms, run),
      },
      modem: modemOf(broker, deviceId),
      wifi: { associate: (at) => wifi.associate(at), holdsMs: (at) => wifi.holdsMs(at) },
      random: chance.bytes,
      driftPpm: chance.between(-profile.driftPpm, profile.driftPpm),
      shows(trueMs) {
        const value = physical(trueMs)
        device.shown.push({ ...value, recorded: false })
        return value
      },
      intervalS: 60,
      onEvent: (event) => heard(device, event, engine),
    }),
  }
  return device
}

/** Without a virtual machine: the same firmware, a thousand times faster. */
function startPlain(host: Host, provision: Provision): Running {
  const firmware = createFirmware(host, provision, nativeCrypto)
  return { firmware, heapBytes: () => 0, dispose: () => undefined }
}

function heard(device: Device, event: ChipEvent, engine: Engine): void {
  const { event: name } = event
  engine.note(name, device.deviceId)
  device.counts[name] = (device.counts[name] ?? 0) + 1
  const newest = device.shown.at(-1)
  if (name === 'reading' && newest !== undefined) newest.recorded = event['recorded'] === true
  else if (name === 'delivered') device.acknowledged = event['through'] as number
  else if (name === 'session') device.sessionMs.push(event['radioMs'] as number)
}

function modemOf(broker: Broker, owner: string): Modem {
  return {
    connect(channelId, events) {
      let open = true
      const connection = broker.connectClient(owner, channelId, {
        up: () => open && events.up(),
        message: (frame) => open && events.message(frame),
        down: () => open && events.down(),
      })
      return {
        publish: (frame) => void connection.publish(frame),
        close() {
          open = false
          connection.close()
        },
        drop() {
          open = false
          broker.halfOpen(owner)
        },
      }
    },
  }
}
