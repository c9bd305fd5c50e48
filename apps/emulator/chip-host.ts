import type { Host, Provision } from './firmware/host.ts'
import type { Ledger } from './ledger.ts'
import type { Processor } from './processor.ts'
import { costMs } from './profiles.ts'
import type { Radio } from './radio.ts'
import type { Rtc } from './rtc.ts'
import type { ChipOptions } from './surroundings.ts'

/** Shares of the flash: blocks with readings, and what is left of them without; see #flash-store. */
const BLOCK_BYTES = 512
const STATEMENT_BYTES = 256
const OUTBOX_SHARE = 0.25
/** What the chip's parts do for its firmware; time and charge go by the profile. */
export function hostParts(
  parts: Pick<ChipOptions, 'profile' | 'flash' | 'random' | 'native'> & {
    rtc: Rtc
    ledger: Ledger
    processor: Processor
    radio: Radio
    say: (event: string, more: object) => void
  },
): Omit<Host, 'retained' | 'retain'> {
  const { profile, flash, random, native, rtc, ledger, processor, radio, say } = parts
  const { nowMs, work } = processor
  return {
    now: () => Math.floor(rtc.wall(nowMs())),
    monotonic: () => Math.floor(rtc.count(nowMs())),
    timeKnown: () => rtc.known,
    random,
    flashRead: (at, length) => flash.read(at, length),
    flashProgram(at, bytes) {
      const before = flash.programs
      flash.program(at, bytes)
      work((flash.programs - before) * profile.flash.programMs)
    },
    flashErase(sector) {
      flash.erase(sector)
      work(profile.flash.eraseMs)
    },
    connect: radio.connect,
    publish: radio.publish,
    disconnect: radio.disconnect,
    charge(operation, bytes) {
      const ms = costMs(profile, operation, bytes)
      ledger.arithmetic(ms)
      work(ms)
    },
    event(json) {
      const { event, ...more } = JSON.parse(json) as { event: string }
      say(event, more)
    },
    native,
  }
}

/** What was written into it, and how much of its flash its outbox may take. */
export function provisionOf({ provision, flash }: ChipOptions): Provision {
  const room = flash.sectors * flash.sectorBytes * OUTBOX_SHARE
  return {
    ...provision,
    sectors: flash.sectors,
    sectorBytes: flash.sectorBytes,
    maxBlocks: Math.floor(room / BLOCK_BYTES),
    maxStatements: Math.floor((room * 0.8) / STATEMENT_BYTES),
  }
}
