import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { status } from '#reading'
import {
  commonModel,
  meterModel,
  modbusDevice,
  startModbus,
  sunspecMap,
} from '../support/modbus.ts'
import { startFogmeter } from '../support/fogmeter.ts'
import { startMeterLab, type MeterLab } from '../support/meter-lab.ts'

let lab: MeterLab
beforeAll(async () => {
  lab = await startMeterLab()
})
afterAll(() => lab.close())

/** A SunSpec meter that has counted this much. */
function counted(importWh: number, serialNumber = '4711'): Map<number, number> {
  const model = meterModel(203, {
    W: 230, W_SF: 0, PhVphA: 2_301, V_SF: -1, AphA: 100, A_SF: -2,
    TotWhImp: importWh, TotWhExp: 0, TotWh_SF: 0,
  }) // prettier-ignore
  return sunspecMap(40_000, commonModel('Fronius', 'Smart Meter', serialNumber), model)
}

describe('a meter that is asked', () => {
  test('meter read: what it says, as JSON', async () => {
    const server = await startModbus(modbusDevice({ holding: counted(123_456) }), { unit: 240 })
    const source = `modbus:tcp://127.0.0.1:${server.port}?profile=sunspec&unit=240`
    const { exited } = startFogmeter('meter', 'read', '--source', source, '--oneshot', '--json')
    const { code, stdout } = await exited
    expect(code).toBe(0)
    expect(JSON.parse(stdout)).toMatchObject({
      maker: 'Fronius Smart Meter',
      meterId: '4711',
      importWh: 123_456,
      exportWh: 0,
      powerW: 230,
      voltageDv: [2_301, null, null],
    })
    await server.close()
  })

  test('meter run: a refusal, a server away, a register that falls, another meter', async () => {
    const device = modbusDevice({ holding: counted(1_000) })
    const first = await startModbus(device)
    const config = lab.configure(
      'asked',
      '[source]\nkind = "modbus"\nprofile = "sunspec"\ninterval_seconds = 1',
      `port = "tcp://127.0.0.1:${first.port}"`,
      '[block]\nreadings = 1',
    )
    const run = startFogmeter('meter', 'run', '--config', config)
    const readings = () => lab.readingsOf('asked')
    const last = () => readings().at(-1)
    const patience = { timeout: 30_000 }
    await expect.poll(() => last()?.importWh, patience).toBe(1_000)

    device.exception = 6
    await expect.poll(run.log, patience).toContain('modbus/exception')
    device.exception = null
    device.holding = counted(1_010)
    await expect.poll(() => last()?.importWh, patience).toBe(1_010)

    await first.close()
    await expect.poll(run.log, patience).toMatch(/port\/(lost|unreachable)/)
    device.holding = counted(1_020)
    const again = await startModbus(device, { port: first.port })
    await expect.poll(() => last()?.importWh, patience).toBe(1_020)

    // A register that falls is doubted, not followed.
    device.holding = counted(7)
    const held = () => readings().find((reading) => (reading.status & status.substitute) !== 0)
    await expect.poll(held, patience).toMatchObject({ importWh: 1_020 })
    device.holding = counted(1_025)
    await expect.poll(() => last()?.importWh, patience).toBe(1_025)

    await again.close()
    device.holding = counted(50, '4712')
    const other = await startModbus(device, { port: first.port })
    const replaced = () =>
      readings().find((reading) => (reading.status & status.meterReplaced) !== 0)
    await expect.poll(replaced, patience).toMatchObject({ importWh: 1_025 })
    device.holding = counted(53, '4712')
    await expect.poll(() => last()?.importWh, patience).toBe(1_028)
    run.child.kill('SIGTERM')
    expect((await run.exited).code).toBe(0)
    await other.close()
    const registers = readings().map(({ importWh }) => importWh)
    expect(registers).toEqual(registers.toSorted((a, b) => a - b))
  })
})
