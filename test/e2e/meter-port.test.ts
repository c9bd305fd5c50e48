import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { concat, toHex } from '#bytes'
import { createAuthority, enrol } from '#identity'
import { status } from '#reading'
import { hasSocat, plugCable } from '../support/pty.ts'
import { startTestFog, type TestFog } from '../support/test-fog.ts'
import { latin1, p1Telegram, recorded } from '../support/telegrams.ts'

const cli = join(import.meta.dirname, '../../apps/cli/main.ts')
const data = join(import.meta.dirname, '../vectors/data')
let folder: string
let fog: TestFog

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'fogmeter-meter-port-'))
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

function telegram(importWh: number, meterId: string): Uint8Array {
  return p1Telegram([
    `0-0:96.1.1(${toHex(latin1(meterId))})`,
    `1-0:1.8.0(${importWh}*Wh)`,
    '1-0:1.7.0(00.230*kW)',
  ])
}

/** A configuration for a freshly enrolled meter at `port`. */
function configure(name: string, port: string): string {
  enrol(join(folder, 'authority'), 'meter', name)
  const config = join(folder, `${name}.toml`)
  const lines = [
    `node = "fog-1"\nname = "${name}"`,
    `[broker]\nurl = "mqtt://127.0.0.1:${fog.port}"`,
    '[identity]',
    'key = "authority/enrolled/{name}/{name}.key"',
    'credential = "authority/enrolled/{name}/{name}.cwt"',
    'authority = "authority/authority.pub"',
    '[store]\npath = "{name}.db"',
    `[source]\nkind = "p1"\nport = "${port}"\ninterval_seconds = 0`,
    '[block]\nreadings = 2',
  ]
  writeFileSync(config, lines.join('\n'))
  return config
}

const readingsAt = (name: string) => fog.of(name)?.durable.flatMap(({ readings }) => readings) ?? []

describe('fogmeter meter read', () => {
  test('a telegram as JSON, recorded as it came', async () => {
    const copy = join(folder, 'copy.txt')
    const source = `p1:${data}/p1/v5.txt`
    const { exited } = fogmeter(
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
    const { child, exited } = fogmeter('meter', 'read', '--source', 'p1:-')
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
    const { exited } = fogmeter('meter', 'read', '--source', `sml:${data}/sml/emh-ehz-bad-crc.bin`)
    expect(await exited).toMatchObject({ code: 1, stdout: '' })
    expect((await exited).stderr).toContain('checksum')
  })
})

describe.skipIf(!hasSocat)(`a meter on a cable${hasSocat ? '' : ' (skipped: needs socat)'}`, () => {
  test('to the fog node: registers exact, a pulled cable, another meter, also across a restart', async () => {
    const device = join(folder, 'ttyMETER')
    const config = configure('cabled', device)
    const cable = await plugCable(device)
    const first = fogmeter('meter', 'run', '--config', config)
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

    const second = fogmeter('meter', 'run', '--config', config)
    await expect.poll(second.log, { timeout: 20_000 }).toContain('port-open')
    await again.say(concat(telegram(20, 'B'), telegram(23, 'B')))
    await expect.poll(() => readingsAt('cabled').length, { timeout: 20_000 }).toBe(6)
    second.child.kill('SIGTERM')
    expect((await second.exited).code).toBe(0)

    const read = fogmeter('meter', 'read', '--source', `p1:${device}`, '--oneshot', '--json')
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
