import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createAuthority, enrol } from '#identity'
import { status } from '#reading'
import {
  commonModel,
  meterModel,
  modbusDevice,
  startModbus,
  sunspecMap,
} from '../support/modbus.ts'
import { startTestFog, type TestFog } from '../support/test-fog.ts'

const cli = join(import.meta.dirname, '../../apps/cli/main.ts')
let folder: string
let fog: TestFog

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'fogmeter-modbus-'))
  createAuthority(join(folder, 'authority'))
  const files = enrol(join(folder, 'authority'), 'fog', 'fog-1')
  fog = await startTestFog({ ...files, key: files.key ?? '' })
})
afterAll(async () => {
  await fog.close()
  rmSync(folder, { recursive: true, force: true })
})

function fogmeter(...words: string[]) {
  const child = spawn(process.execPath, [cli, ...words])
  const output = { stdout: '', stderr: '' }
  child.stdout.on('data', (chunk: Buffer) => (output.stdout += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (output.stderr += chunk.toString()))
  const exited = once(child, 'exit').then(([code]) => ({ ...output, code: code as number | null }))
  return { child, exited, log: () => output.stderr }
}

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
    const { exited } = fogmeter('meter', 'read', '--source', source, '--oneshot', '--json')
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
    enrol(join(folder, 'authority'), 'meter', 'asked')
    const device = modbusDevice({ holding: counted(1_000) })
    const first = await startModbus(device)
    const config = join(folder, 'asked.toml')
    const lines = [
      'node = "fog-1"\nname = "asked"',
      `[broker]\nurl = "mqtt://127.0.0.1:${fog.port}"`,
      '[identity]',
      'key = "authority/enrolled/{name}/{name}.key"',
      'credential = "authority/enrolled/{name}/{name}.cwt"',
      'authority = "authority/authority.pub"',
      '[store]\npath = "{name}.db"',
      '[source]\nkind = "modbus"\nprofile = "sunspec"\ninterval_seconds = 1',
      `port = "tcp://127.0.0.1:${first.port}"`,
      '[block]\nreadings = 1',
    ]
    writeFileSync(config, lines.join('\n'))
    const run = fogmeter('meter', 'run', '--config', config)
    const readings = () => fog.of('asked')?.durable.flatMap((block) => block.readings) ?? []
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
