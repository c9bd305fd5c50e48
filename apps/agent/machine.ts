/** What the kernel tells of the machine: clock, temperature, throttling, and the wear of its disk. */
import { existsSync, readdirSync, readFileSync, realpathSync, statSync } from 'node:fs'
import { uptime } from 'node:os'
import { dirname, join } from 'node:path'
import type { MachineStatus } from '#messages'

/** The kernel counts in these, whatever the disk's own are. */
const SECTOR = 512
/** Bit 0 of what the firmware of a Pi reports: too little voltage now. */
const UNDER_VOLTAGE = 1

export interface MachineOptions {
  /** A file on the disk that wears. */
  storePath: string
  clockSet: () => boolean
  /** Where sysfs is mounted. */
  sys?: string
}

/** Never throws: what cannot be read is null. */
export function createMachine({ storePath, clockSet, sys = '/sys' }: MachineOptions) {
  const disk = diskFolder(sys, storePath)
  return (): MachineStatus => ({
    clockSet: clockSet(),
    uptimeS: Math.floor(uptime()),
    temperatureDc: temperatureDc(sys),
    throttled: throttled(sys),
    writtenBytes: disk === null ? null : writtenBytes(disk),
    diskBytes: disk === null ? null : sizeBytes(disk),
  })
}

/** The whole disk that a file lies on, by its device number; null for what is none, as tmpfs. */
function diskFolder(sys: string, path: string): string | null {
  try {
    const { dev } = statSync(existsSync(path) ? path : dirname(path))
    // makedev(3), the part of it that Linux uses.
    const [major, minor] = [(dev >> 8) & 0xfff, (dev & 0xff) | ((dev >> 12) & 0xfff00)]
    const folder = realpathSync(join(sys, 'dev/block', `${major}:${minor}`))
    return existsSync(join(folder, 'partition')) ? dirname(folder) : folder
  } catch {
    return null
  }
}

/** Field 7 of block/stat.rst: sectors written. */
function writtenBytes(disk: string): number | null {
  const sectors = Number(read(join(disk, 'stat'))?.trim().split(/\s+/)[6])
  return Number.isSafeInteger(sectors * SECTOR) ? sectors * SECTOR : null
}

function sizeBytes(disk: string): number | null {
  return whole(join(disk, 'size'), 10, SECTOR)
}

/** In thousandths of a degree there. */
function temperatureDc(sys: string): number | null {
  const milli = whole(join(sys, 'class/thermal/thermal_zone0/temp'), 10, 1)
  const dc = milli === null ? null : Math.round(milli / 100)
  return dc !== null && dc >= -1_000 && dc <= 2_000 ? dc : null
}

/** From Raspberry Pi's own kernel; Debian's knows of low voltage only. */
function throttled(sys: string): number | null {
  const firmware = join(sys, 'devices/platform/soc/soc:firmware/get_throttled')
  const bits = whole(firmware, 16, 1)
  if (bits !== null) return bits <= 0xffff_ffff ? bits : null
  const alarm = lowVoltage(join(sys, 'class/hwmon'))
  return alarm === null ? null : alarm * UNDER_VOLTAGE
}

/** 0 or 1 from the driver raspberrypi-hwmon. */
function lowVoltage(folder: string): number | null {
  for (const name of entries(folder)) {
    if (read(join(folder, name, 'name'))?.trim() !== 'rpi_volt') continue
    return whole(join(folder, name, 'in0_lcrit_alarm'), 2, 1)
  }
  return null
}

function entries(folder: string): string[] {
  try {
    return readdirSync(folder)
  } catch {
    return []
  }
}

function read(path: string): string | null {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return null
  }
}

function whole(path: string, base: number, unit: number): number | null {
  const text = read(path)?.trim() ?? ''
  const value = Number.parseInt(text, base) * unit
  return text !== '' && Number.isSafeInteger(value) ? value : null
}
