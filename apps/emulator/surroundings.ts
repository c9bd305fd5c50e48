import type { Random } from '#ports'
import type { FlashChip } from './flash-chip.ts'
import type { Firmware, Host, Native, Provision } from './firmware/host.ts'
import type { Profile } from './profiles.ts'
import type { Wifi } from './wifi.ts'

/** A firmware in memory. */
export interface Running {
  firmware: Firmware
  heapBytes(): number
  dispose(): void
}

/** True time, which no chip sees. */
export interface Time {
  nowMs(): number
  after(ms: number, run: () => void): void
  /** The same for a chip that sleeps: nothing else happens to it meanwhile. */
  asleep(ms: number, run: () => void): void
}

export interface Modem {
  /** Events after `close` or `drop` are ignored. */
  connect(
    channelId: string,
    events: { up(): void; message(frame: Uint8Array): void; down(): void },
  ): { publish(frame: Uint8Array): void; close(): void; drop(): void }
}

/** What a physical meter shows. */
export interface Shown {
  powerW: number
  importWh: number
  exportWh: number
}

export type ChipEvent = { event: string; atMs: number; [name: string]: unknown }

export interface ChipOptions {
  profile: Profile
  provision: Omit<Provision, 'sectors' | 'sectorBytes' | 'maxBlocks' | 'maxStatements'>
  flash: FlashChip
  /** Loads and starts the firmware; throws `Exhausted` when there is not enough memory. */
  start: (host: Host, provision: Provision) => Running | Promise<Running>
  native: Native
  time: Time
  modem: Modem
  wifi: Wifi
  random: Random
  /** Of its oscillator. */
  driftPpm: number
  shows(trueMs: number): Shown
  intervalS: number
  onEvent: (event: ChipEvent) => void
}
