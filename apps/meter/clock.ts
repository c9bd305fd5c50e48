import { createHash } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { uptime } from 'node:os'
import { join } from 'node:path'
import { defaults } from '#defaults'
import type { Boot } from '#meter'
import type { Clock } from '#ports'
import { systemRandom } from '#service'

/** What this machine knows about its own clock. */
export interface TimeSense {
  /** True when the wall clock can be believed. */
  known(): boolean
  boot: Boot
}

/**
 * A Raspberry Pi without a clock chip starts in 1970 or, more deceptively, where it was switched off.
 * systemd-timesyncd leaves the file `synchronized` in its folder once it has set the clock since the
 * boot; where that service does not run (no folder), only the year is judged.
 */
export function openTimeSense(options: {
  clock: Clock
  askTimesyncd: boolean
  folder?: string
}): TimeSense {
  const { clock, askTimesyncd, folder = '/run/systemd/timesync' } = options
  let set = !askTimesyncd
  return {
    known() {
      set ||= !existsSync(folder) || existsSync(join(folder, 'synchronized'))
      return set && clock.now() >= defaults.neverSetS * 1_000
    },
    boot: machineBoot(),
  }
}

/**
 * The kernel's own name of this boot, so that a program started again still knows its age; a random
 * one of this process where the kernel does not tell.
 */
function machineBoot(): Boot {
  try {
    const name = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8')
    return {
      id: numberFrom(createHash('sha256').update(name).digest()),
      ageS: () => whole(uptime()),
    }
  } catch {
    const id = numberFrom(systemRandom(7))
    return { id, ageS: () => whole(process.uptime()) }
  }
}

/** 53 bits. */
function numberFrom(bytes: Uint8Array): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset)
  return view.getUint32(0) * 2 ** 21 + (view.getUint32(3) & 0x1f_ffff)
}

function whole(seconds: number): number {
  return Math.floor(seconds)
}
