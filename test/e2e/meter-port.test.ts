import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { concat, toHex } from '#bytes'
import { status } from '#reading'
import { hasSocat, plugCable } from '../support/pty.ts'
import { startFogmeter } from '../support/fogmeter.ts'
import { startMeterLab, type MeterLab } from '../support/meter-lab.ts'
import { latin1, p1Telegram, recorded } from '../support/telegrams.ts'

const data = join(import.meta.dirname, '../vectors/data')
let lab: MeterLab
beforeAll(async () => {
  lab = await startMeterLab()
})
afterAll(() => lab.close())

function telegram(importWh: number, meterId: string): Uint8Array {
  return p1Telegram([
    `0-0:96.1.1(${toHex(latin1(meterId))})`,
    `1-0:1.8.0(${importWh}*Wh)`,
    '1-0:1.7.0(00.230*kW)',
  ])
}

const readingsAt = (name: string) => lab.readingsOf(name)

describe('fogmeter meter read', () => {
  test('a telegram as JSON, recorded as it came', async () => {
    const copy = join(lab.folder, 'copy.txt')
    const source = `p1:${data}/p1/v5.txt`
    const { exited } = startFogmeter(
      'meter',
      'read',
      '--source',
      source,
      '--oneshot',
      '--json',
      '--log-telegrams',
      copy,
    )
    const { code, stdout, stderr } = await exited
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(JSON.parse(stdout)).toMatchObject({ importWh: 6_825, powerW: 244, checked: true })
    expect(new Uint8Array(readFileSync(copy))).toEqual(recorded('p1/v5.txt'))
  })

  test('from a pipe, for people: units, channels, what was not understood', async () => {
    const { child, exited } = startFogmeter('meter', 'read', '--source', 'p1:-')
    child.stdin.end(concat(recorded('p1/v5-two-mbus.txt'), recorded('p1/v2-2.txt')))
    const { code, stdout, stderr } = await exited
    expect(code).toBe(0)
    expect(stdout).toContain('2375.582 kWh')
    expect(stdout).toContain('246.138 m³  2020-04-26 20:30:01 UTC')
    expect(stdout).toContain('0-1:24.2.1: its unit is missing')
    expect(stdout.match(/checksum +none/g)).toHaveLength(1)
    expect(stderr).toContain('0-1:24.2.1')
  })

  test('nothing but a wrong checksum: exit code 1, and why', async () => {
    const { exited } = startFogmeter(
      'meter',
      'read',
      '--source',
      `sml:${data}/sml/emh-ehz-bad-crc.bin`,
    )
    expect(await exited).toMatchObject({ code: 1, stdout: '' })
    expect((await exited).stderr).toContain('checksum')
  })
})

describe.skipIf(!hasSocat)(`a meter on a cable${hasSocat ? '' : ' (skipped: needs socat)'}`, () => {
  test('to the fog node: registers exact, a pulled cable, another meter, also across a restart', async () => {
    const device = join(lab.folder, 'ttyMETER')
    const config = lab.configure(
      'cabled',
      `[source]\nkind = "p1"\nport = "${device}"\ninterval_seconds = 0`,
      '[block]\nreadings = 2',
    )
    const cable = await plugCable(device)
    const first = startFogmeter('meter', 'run', '--config', config)
    await expect.poll(first.log, { timeout: 20_000 }).toContain('port-open')
    await cable.say(
      concat(telegram(1_000, 'A'), telegram(1_001, 'A').slice(9), telegram(1_002, 'A')),
    )
    await expect.poll(() => readingsAt('cabled').length, { timeout: 20_000 }).toBe(2)
    await cable.pull()
    await expect.poll(first.log, { timeout: 20_000 }).toContain('port-failed')
    const again = await plugCable(device)
    await expect.poll(first.log, { timeout: 20_000 }).toMatch(/port-open[^]*port-open/)
    await again.say(concat(telegram(1_003, 'A'), telegram(1_005, 'A')))
    await expect.poll(() => readingsAt('cabled').length, { timeout: 20_000 }).toBe(4)
    first.child.kill('SIGTERM')
    expect((await first.exited).code).toBe(0)

    const second = startFogmeter('meter', 'run', '--config', config)
    await expect.poll(second.log, { timeout: 20_000 }).toContain('port-open')
    await again.say(concat(telegram(20, 'B'), telegram(23, 'B')))
    await expect.poll(() => readingsAt('cabled').length, { timeout: 20_000 }).toBe(6)
    second.child.kill('SIGTERM')
    expect((await second.exited).code).toBe(0)

    const read = startFogmeter('meter', 'read', '--source', `p1:${device}`, '--oneshot', '--json')
    await expect.poll(read.log, { timeout: 20_000 }).toContain('listening')
    await again.say(telegram(30, 'B'))
    const { code, stdout } = await read.exited
    expect([code, JSON.parse(stdout)]).toMatchObject([0, { importWh: 30, meterId: 'B' }])
    await again.pull()

    const readings = readingsAt('cabled')
    expect(readings.map(({ importWh }) => importWh)).toEqual([
      1_000, 1_002, 1_003, 1_005, 1_005, 1_008,
    ])
    const replaced = readings.map((reading) => (reading.status & status.meterReplaced) !== 0)
    expect(replaced).toEqual([false, false, false, false, true, false])
  })
})
