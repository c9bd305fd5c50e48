/** What a fog node tells of its machine, and what becomes of it for an operator. */
import { mkdirSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { createMachine } from '../../apps/agent/machine.ts'
import { wearOf } from '../../apps/cli/queries/fog-status.ts'

let sys = ''
beforeEach(() => void (sys = mkdtempSync(join(tmpdir(), 'fogmeter-sys-'))))
afterEach(() => rmSync(sys, { recursive: true, force: true }))

function put(path: string, content: string): void {
  mkdirSync(dirname(join(sys, path)), { recursive: true })
  writeFileSync(join(sys, path), content)
}

/** A card with the store in its third partition. */
function putCard(): void {
  const card = 'devices/mmc0/block/mmcblk0'
  put(`${card}/stat`, '  100 0 800 20 55 0 4000 30 0 40 50 0 0 0 0 0 0\n')
  put(`${card}/size`, '62521344\n')
  put(`${card}/mmcblk0p3/partition`, '3\n')
  put(`${card}/mmcblk0p3/stat`, '1 1 1 1 1 1 1 1 1 1 1\n')
  const { dev } = statSync(sys)
  const [major, minor] = [(dev >> 8) & 0xfff, (dev & 0xff) | ((dev >> 12) & 0xfff00)]
  mkdirSync(join(sys, 'dev/block'), { recursive: true })
  symlinkSync(join(sys, card, 'mmcblk0p3'), join(sys, 'dev/block', `${major}:${minor}`))
}

const look = () =>
  createMachine({ storePath: join(sys, 'not-there-yet.db'), clockSet: () => true, sys })()

test('a Pi with its own kernel tells all', () => {
  putCard()
  put('class/thermal/thermal_zone0/temp', '48312\n')
  put('devices/platform/soc/soc:firmware/get_throttled', '50005\n')
  expect(look()).toMatchObject({
    clockSet: true,
    temperatureDc: 483,
    throttled: 0x5_0005,
    writtenBytes: 4_000 * 512,
    diskBytes: 62_521_344 * 512,
  })
  expect(look().uptimeS).toBeGreaterThan(0)
})

test("a Pi with Debian's kernel tells of low voltage", () => {
  put('class/hwmon/hwmon0/name', 'cpu_thermal\n')
  put('class/hwmon/hwmon1/name', 'rpi_volt\n')
  put('class/hwmon/hwmon1/in0_lcrit_alarm', '1\n')
  expect(look()).toMatchObject({ throttled: 1, writtenBytes: null })
  put('class/hwmon/hwmon1/in0_lcrit_alarm', '0\n')
  expect(look().throttled).toBe(0)
})

test.each([
  ['nothing', ''],
  ['nonsense', 'zz\n'],
  ['too much', '99999999999999999999\n'],
])('%s is null, and no error', (_, content) => {
  put('class/thermal/thermal_zone0/temp', content)
  put('devices/platform/soc/soc:firmware/get_throttled', content)
  expect(look()).toMatchObject({ temperatureDc: null, throttled: null, diskBytes: null })
})

test('wear: the rate of a day, the budget of ten years, and how long it lasts', () => {
  const machine = {
    clockSet: true,
    uptimeS: 43_200,
    temperatureDc: null,
    throttled: null,
    writtenBytes: 100_000_000,
    diskBytes: 32_000_000_000,
  }
  // 32 GB, a thousand times, a quarter of it: 8 TB. Over 3,650 days, or at 200 MB a day.
  expect(wearOf(machine)).toEqual({
    bytesADay: 200_000_000,
    budgetBytesADay: 2_191_780_821,
    lifeDays: 40_000,
  })
  expect(wearOf({ ...machine, writtenBytes: 0 })?.lifeDays).toBe(Infinity)
  expect(wearOf({ ...machine, diskBytes: null })).toBeNull()
})
