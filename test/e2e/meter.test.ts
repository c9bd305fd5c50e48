import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { fromUtf8, utf8 } from '#bytes'
import { homeOf, simulate } from '#household'
import { enrol, revoke } from '#identity'
import { openMeterStore } from '#meter-store'
import { firstChain } from '#reading'
import { nodeCrypto } from '#crypto-node'
import { startMeterLab, type MeterLab } from '../support/meter-lab.ts'
import type { ModelFog, TestFog } from '../support/test-fog.ts'

const cli = join(import.meta.dirname, '../../apps/cli/main.ts')
let lab: MeterLab
let folder: string
let fog: TestFog
let run = 0

beforeAll(async () => {
  lab = await startMeterLab()
  ;({ folder, fog } = lab)
})
afterAll(() => lab.close())
beforeEach(() => void run++)

/** Writes a configuration for freshly enrolled meters; `{name}` may stand in `store`. */
function configure(
  source: string,
  more: { count?: number; store?: string; port?: number; metrics?: number } = {},
) {
  const { count = 1, store = `run-${run}.db`, port = fog.port, metrics } = more
  const names = Array.from({ length: count }, (_, index) => `m${run}-${index + 1}`)
  for (const name of names) enrol(lab.authority, 'meter', name)
  const config = join(folder, `run-${run}.toml`)
  const lines = [
    'node = "fog-1"',
    `[broker]\nurl = "mqtt://127.0.0.1:${port}"`,
    '[identity]',
    'key = "authority/enrolled/{name}/{name}.key"',
    'credential = "authority/enrolled/{name}/{name}.cwt"',
    'authority = "authority/authority.pub"',
    `[store]\npath = "${store}"`,
    `[source]\n${source}`,
    `[fleet]\ncount = ${count}\nname_prefix = "m${run}-"\ndigits = 1`,
    '[block]\nreadings = 5',
    ...(metrics === undefined ? [] : [`[metrics]\nlisten = "127.0.0.1:${metrics}"`]),
    '[log]\nlevel = "info"',
  ]
  writeFileSync(config, lines.join('\n'))
  return { config, names }
}

interface Running {
  child: ChildProcess
  exited: Promise<number | null>
  log: () => string
}

function start(config: string, ...flags: string[]): Running {
  const child = spawn(process.execPath, [cli, 'meter', 'run', '--config', config, ...flags])
  let log = ''
  child.stderr.on('data', (chunk: Buffer) => (log += chunk.toString()))
  child.stdout.resume()
  const exited = once(child, 'exit').then(([code]) => code as number | null)
  return { child, exited, log: () => log }
}

/** Exit code 0; else the log says why not. */
async function expectOrderlyEnd({ exited, log }: Running): Promise<void> {
  const code = await exited
  expect(code === 0 ? 'ended with 0' : log()).toBe('ended with 0')
}

/** The readings the fog holds, checked to be numbered 1, 2, 3 … on one chain. */
function readingsOf(model: ModelFog | undefined, deviceId: string) {
  const blocks = model?.durable ?? []
  let expected = firstChain(nodeCrypto, deviceId)
  for (const { statement } of blocks) {
    expect(statement.previousChain).toEqual(expected)
    expected = statement.chain
  }
  const readings = blocks.flatMap((block) => block.readings)
  expect(readings.map(({ number }) => number)).toEqual(readings.map((_, index) => index + 1))
  return readings
}

const FAST = 'kind = "sim"\ninterval_seconds = 60\ntime_scale = 1200'

describe('fogmeter meter run', () => {
  test('a simulated meter stops by itself once everything is delivered', async () => {
    const {
      config,
      names: [name = ''],
    } = configure(FAST)
    const meter = start(config, '--max-readings', '12')
    await expectOrderlyEnd(meter)
    const readings = readingsOf(fog.of(name), name)
    expect(readings).toHaveLength(12)
    expect(
      new Set(readings.map((r, i) => r.timeS - (readings[i - 1]?.timeS ?? r.timeS - 60))),
    ).toEqual(new Set([60]))
    expect(fog.of(name)?.kinds.live).toBeGreaterThan(0)
  })

  test('a CSV file: its times, its registers, to the last row', async () => {
    const rows = Array.from(
      { length: 9 },
      (_, i) => `2026-03-01T00:${String(i + 10)}:00Z,0.5,${100 + i}`,
    )
    writeFileSync(join(folder, 'rows.csv'), ['time,power_kw,import_wh', ...rows, ''].join('\n'))
    const {
      config,
      names: [name = ''],
    } = configure('kind = "csv"\nfile = "rows.csv"\ntime_scale = 6000')
    const meter = start(config)
    await expectOrderlyEnd(meter)
    const readings = readingsOf(fog.of(name), name)
    expect(readings.map((r) => r.importWh)).toEqual([100, 101, 102, 103, 104, 105, 106, 107, 108])
    expect(readings[0]?.timeS).toBe(Date.parse('2026-03-01T00:10:00Z') / 1_000)
  })

  test('a pipe: one JSON reading a line; a bad line is reported and skipped', async () => {
    const {
      config,
      names: [name = ''],
    } = configure(FAST)
    const meter = start(config, '--source', 'stdin')
    const lines = [
      { time: 1_800_000_001, power_w: 10 },
      { power: 3 },
      { time: 1_800_000_002, power_kw: -0.02 },
    ]
    meter.child.stdin?.end(lines.map((line) => `${JSON.stringify(line)}\n`).join(''))
    await expectOrderlyEnd(meter)
    expect(readingsOf(fog.of(name), name).map((r) => r.powerW)).toEqual([10, -20])
    expect(meter.log()).toContain('line 2, field power is unknown')
  })

  test('a second program on the same store is refused: both would use the same numbers', async () => {
    const {
      config,
      names: [name = ''],
    } = configure(FAST)
    const meter = start(config)
    await fog.until(() => (fog.of(name)?.head() ?? 0) >= 5)
    const second = start(config)
    expect(await second.exited).toBe(1)
    expect(second.log()).toContain('is in use by another process')
    meter.child.kill('SIGTERM')
    await expectOrderlyEnd(meter)
  })

  test('a file that is not there: exit code 3, one sentence, no stack', async () => {
    const { config } = configure('kind = "csv"\nfile = "none.csv"')
    const meter = start(config)
    expect(await meter.exited).toBe(3)
    expect(meter.log()).toMatch(/none\.csv: ENOENT.*check source\.file/)
    expect(meter.log()).not.toContain(' at ')
  })

  test('SIGTERM signs the open block, delivers it, and ends with 0', async () => {
    const { config, names } = configure(
      'kind = "replay"\ninterval_seconds = 60\ntime_scale = 600',
      { count: 3 },
    )
    const meter = start(config)
    await fog.until(() => names.every((name) => (fog.of(name)?.head() ?? 0) >= 5))
    meter.child.kill('SIGTERM')
    await expectOrderlyEnd(meter)
    const file = openMeterStore(join(folder, `run-${run}.db`))
    for (const name of names) {
      const store = file.meter(name)
      expect([store.count(), store.load().open]).toEqual([0, []])
      expect(readingsOf(fog.of(name), name).length).toBe(store.load().next - 1)
    }
    file.close()
  })

  test('SIGKILL again and again: no number is lost, repeated or changed; energy stays true', async () => {
    const shares = { solarPercent: 50, heatPumpPercent: 50, carPercent: 50 }
    const lines = [
      `${FAST}\njitter_seconds = 30\nseed = 5`,
      `start = "${new Date().toISOString().slice(0, 19)}Z"`,
      'solar_peak_w = 6000\nsolar_percent = 50\nheat_pump_percent = 50\ncar_percent = 50',
    ]
    const { config, names } = configure(lines.join('\n'), { count: 2 })
    const [name = ''] = names
    for (let kill = 0; kill < 6; kill++) {
      const meter = start(config)
      const goal = (fog.of(name)?.head() ?? 0) + 4 + 3 * kill
      await fog.until(() => (fog.of(name)?.head() ?? 0) >= goal)
      meter.child.kill('SIGKILL')
      await meter.exited
    }
    const last = start(config, '--max-readings', '7')
    await expectOrderlyEnd(last)
    const file = openMeterStore(join(folder, `run-${run}.db`))
    const timeline = JSON.parse(fromUtf8(file.note('timeline') ?? utf8('{}'))) as {
      anchorS: number
    }
    names.forEach((each, index) => {
      const readings = readingsOf(fog.of(each), each)
      expect(readings).toHaveLength(file.meter(each).load().next - 1)
      // The simulated household went on while nobody measured; its registers are the truth.
      const home = homeOf(5 + index, 6_000, shares)
      const truth = simulate(5 + index, { startS: timeline.anchorS, weatherSeed: 5, ...home })
      for (const { timeS, importWh } of readings) {
        let sample = truth.next().value
        while (sample.timeS < timeS) sample = truth.next().value
        expect([timeS, importWh]).toEqual([sample.timeS, sample.importWh])
      }
    })
    file.close()
  })

  test('without a fog node: keeps everything, stops quickly, delivers at the next start', async () => {
    const port = await unusedPort()
    const {
      config,
      names: [name = ''],
    } = configure(FAST, { port })
    const alone = start(config, '--max-readings', '11', '--stay')
    await expect.poll(() => alone.log(), { timeout: 20_000 }).toContain('source-ended')
    alone.child.kill('SIGTERM')
    await expectOrderlyEnd(alone)
    expect(fog.of(name)).toBeUndefined()
    const text = readFileSync(config, 'utf8').replace(`:${port}`, `:${fog.port}`)
    writeFileSync(config, text)
    const again = start(config, '--max-readings', '1')
    await expectOrderlyEnd(again)
    expect(readingsOf(fog.of(name), name)).toHaveLength(12)
  })

  test('/status, /metrics and /healthz', async () => {
    const metrics = await unusedPort()
    const {
      config,
      names: [name = ''],
    } = configure(FAST, { metrics })
    const meter = start(config, '--max-readings', '6', '--stay')
    const get = (page: string) => fetch(`http://127.0.0.1:${metrics}${page}`)
    await fog.until(() => fog.of(name)?.head() === 6)
    const newest = fog.of(name)?.durable.at(-1)?.statement
    const meters = async () =>
      ((await (await get('/status')).json()) as { meters: object[] }).meters
    await expect.poll(meters, { timeout: 20_000 }).toMatchObject([
      {
        deviceId: name,
        newestNumber: 6,
        sealedThrough: 6,
        receiptedThrough: 6,
        drained: true,
        finished: true,
        importWh: newest?.endImportWh,
      },
    ])
    expect(await (await get('/healthz')).text()).toBe('ok\n')
    const text = await (await get('/metrics')).text()
    expect(text).toContain('fogmeter_meter_items_total{kind="reading"} 6')
    expect(text).not.toContain(name)
    meter.child.kill('SIGTERM')
    await expectOrderlyEnd(meter)
  })

  test('a credential of another role is refused in plain words', async () => {
    const { config } = configure(FAST)
    const text = readFileSync(config, 'utf8')
      .replaceAll('{name}/{name}', 'fog-1/fog-1')
      .replace(/\[fleet\][^[]*/, '')
    writeFileSync(config, text)
    const meter = start(config)
    expect(await meter.exited).toBe(4)
    expect(meter.log()).toContain('is the credential of a fog')
  })

  test('a revocation list from the fog node is kept and honoured after a restart', async () => {
    const {
      config,
      names: [name = ''],
    } = configure(FAST)
    const first = start(config)
    await fog.until(() => (fog.of(name)?.head() ?? 0) >= 1)
    const authority = lab.authority
    enrol(authority, 'fog', 'fog-2')
    const { revocations } = revoke(authority, 'fog-2')
    fog.tell({ type: 'revocations', list: readFileSync(revocations) })
    await expect.poll(() => first.log(), { timeout: 20_000 }).toContain('new revocation list')
    const held = fog.of(name)?.head() ?? 0
    await fog.until(() => (fog.of(name)?.head() ?? 0) > held + 16)
    expect(first.log(), 'the session went on').not.toContain('channel ended')
    first.child.kill('SIGKILL')
    await first.exited
    const file = openMeterStore(join(folder, `run-${run}.db`))
    expect(file.note('revocations')).toEqual(new Uint8Array(readFileSync(revocations)))
    file.close()
  })

  test('a fog node that brings the news of its own revocation is left, by the whole fleet', async () => {
    const { config, names } = configure(FAST, { count: 3 })
    const meters = start(config)
    await fog.until(() => names.every((name) => (fog.of(name)?.head() ?? 0) >= 1))
    const { revocations } = revoke(lab.authority, 'fog-1')
    fog.tell({ type: 'revocations', list: readFileSync(revocations) })
    const left = () => meters.log().match(/"code":"credential\/revoked"[^\n]*channel ended/g) ?? []
    await expect.poll(() => left().length, { timeout: 20_000 }).toBeGreaterThanOrEqual(3)
    meters.child.kill('SIGKILL')
    await meters.exited
  })
})

/** A port nobody listens on. */
async function unusedPort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  return typeof address === 'object' && address !== null ? address.port : 0
}
