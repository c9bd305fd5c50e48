import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect, createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Duplex, Readable } from 'node:stream'
import { ServerSerial } from 'modbus-serial'
import { afterAll, afterEach, describe, expect, test, vi } from 'vitest'
import { fromHex, toHex } from '#bytes'
import type { ModbusSource } from '#config'
import { CodedError, codeOf } from '#errors'
import { crc16Modbus } from '#telegram'
import { openModbus } from '../../apps/meter/modbus-link.ts'
import { fromPort } from '../../apps/meter/port-source.ts'
import { createRtuPort } from '../../apps/meter/rtu-port.ts'
import { codeThrown } from '../support/coded.ts'
import { loadMeterConfig, parseSource } from '../../apps/meter/config.ts'
import {
  commonModel,
  meterModel,
  modbusDevice,
  sdmInputs,
  startMangler,
  startModbus,
  sunspecMap,
  vectorOf,
  wordsAt,
  type Mangle,
  type ModbusDevice,
} from '../support/modbus.ts'
import { hasSocat, plugCable } from '../support/pty.ts'

const serial = { baudRate: 9_600, dataBits: 8, parity: 'none', stopBits: 1 } as const
/** Short, so that a silence is soon believed; long enough for a busy machine to answer in. */
const patience = { timeout: 20_000 }
const waits = { firstMs: 10, maxMs: 20, silenceMs: 300 }

vi.setConfig({ testTimeout: 30_000 })

const endings: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const end of endings.splice(0).toReversed()) await end()
})

function source(port: string, more: Partial<ModbusSource> = {}): ModbusSource {
  const rest = { kind: 'modbus', serial, positive: 'import' } as const
  return { ...rest, map: [], port, unit: 1, profile: 'sdm120', intervalSeconds: 0, ...more }
}

/** A one-phase meter that has counted this much, in kWh. */
function counted(device: ModbusDevice, kWh: number, powerW = 230): void {
  device.input = sdmInputs({ 30_001: 230, 30_007: 1, 30_013: powerW, 30_073: kWh, 30_075: 0 })
}

function sdm(kWh: number): ModbusDevice {
  const device = modbusDevice({ holding: wordsAt([0xfc00, 0, 4_711]) })
  counted(device, kWh)
  return device
}

async function server(device: ModbusDevice, more: { port?: number; unit?: number } = {}) {
  const started = await startModbus(device, more)
  endings.push(() => started.close())
  return started
}

async function mangled(port: number, mangle: Mangle): Promise<string> {
  const relay = await startMangler(port, mangle)
  endings.push(() => relay.close())
  return `tcp://127.0.0.1:${relay.port}`
}

function listen(from: ModbusSource) {
  const said: Record<string, unknown>[] = []
  const tell = (data: object) => void said.push({ ...data })
  const stopping = new AbortController()
  const measurements = fromPort({
    source: from,
    waits,
    input: Readable.from([]),
    signal: stopping.signal,
    log: { info: tell, warn: tell, debug: tell },
    clock: { now: () => 1_795_000_000_000, monotonic: () => performance.now() },
    time: { known: () => true, boot: { id: 1, ageS: () => 5 } },
    newestTimeS: 0,
    remembered: null,
    remember: () => undefined,
  })
  endings.push(async () => {
    stopping.abort()
    await measurements.return(undefined)
  })
  return {
    codes: () => said.map(({ code, event }) => code ?? event),
    /** The next register, in Wh. */
    next: async () => {
      const { value } = await measurements.next()
      if (value === undefined) throw new Error(`the source ended: ${JSON.stringify(said)}`)
      return value
    },
  }
}

/** A SunSpec meter of a maker who counts export as positive. */
function exporting(serialNumber: string, TotWhImp: number): Map<number, number> {
  const model = meterModel(201, { W: 300, W_SF: 0, TotWhImp, TotWhExp: 7, TotWh_SF: 0 })
  return sunspecMap(40_000, commonModel('SolarEdge', 'Meter', serialNumber), model)
}

/** Does something to the last answer of the first round. */
function third(change: Mangle): Mangle {
  return (answer, n) => (n === 3 ? change(answer, n) : { bytes: answer })
}

describe('over TCP', () => {
  test('a meter, round after round', async () => {
    const device = sdm(1_234.56)
    const { port } = await server(device)
    const meter = listen(source(`tcp://127.0.0.1:${port}`))
    expect(await meter.next()).toEqual({
      powerW: 230,
      voltageDv: 2_300,
      currentMa: 1_000,
      importWh: 1_234_560,
      exportWh: 0,
      timeS: 1_795_000_000,
      ageS: 5,
    })
    counted(device, 1_234.57, -5)
    await expect
      .poll(async () => meter.next(), patience)
      .toMatchObject({ importWh: 1_234_570, powerW: -5 })
    expect(meter.codes()).toEqual(['port-open'])
  })

  test('SunSpec, a meter that counts export as positive, and another one in its place', async () => {
    const device = modbusDevice({ holding: exporting('A', 1_000) })
    const first = await startModbus(device)
    const { port } = first
    const from = source(`tcp://127.0.0.1:${port}`, { profile: 'sunspec', positive: 'export' })
    const meter = listen(from)
    expect(await meter.next()).toMatchObject({ powerW: -300, importWh: 1_000, exportWh: 7 })
    await first.close()
    device.holding = exporting('B', 5)
    await server(device, { port })
    await expect
      .poll(async () => meter.next(), patience)
      .toMatchObject({ importWh: 5, replaced: true })
  })

  test('a table of one’s own', async () => {
    const input = wordsAt([0x34, 0xffff, 0xff9c], [0x60, 0, 12])
    const { port } = await server(modbusDevice({ input }))
    const row = { table: 'input', first: 'high', scale: 0 } as const
    const from = {
      ...source(`tcp://127.0.0.1:${port}`),
      profile: undefined,
      map: [
        { ...row, register: 0x34, type: 'int32', value: 'power', unit: 'W', scale: -1 },
        { ...row, register: 0x60, type: 'uint32', value: 'import', unit: 'kWh' },
      ],
    } satisfies ModbusSource
    expect(await listen(from).next()).toMatchObject({ powerW: -10, importWh: 12_000 })
  })

  test('a wrong unit number: silence, and the log says so; nothing is read', async () => {
    const device = sdm(1)
    const { port } = await server(device, { unit: 7 })
    const meter = listen(source(`tcp://127.0.0.1:${port}`))
    const next = meter.next()
    await expect.poll(meter.codes, patience).toContain('modbus/silent')
    expect(device.asked).toEqual([])
    const right = listen(source(`tcp://127.0.0.1:${port}`, { unit: 7 }))
    expect(await right.next()).toMatchObject({ importWh: 1_000 })
    next.catch(() => undefined)
  })

  test.each([
    [2, 'modbus/refused'],
    [4, 'modbus/exception'],
    [6, 'modbus/exception'],
    [11, 'modbus/exception'],
  ])(
    'exception %i ends the round; the meter is asked again, and goes on',
    async (exception, code) => {
      const device = sdm(1)
      const { port } = await server(device)
      const meter = listen(source(`tcp://127.0.0.1:${port}`))
      await meter.next()
      device.exception = exception
      counted(device, 2)
      const next = meter.next()
      await expect.poll(meter.codes, patience).toContain(code)
      device.exception = null
      expect(await next).toMatchObject({ importWh: 2_000 })
      expect(meter.codes()).toContain('port-back')
    },
  )

  test('a register that is not there is a refusal, not a zero', async () => {
    const device = sdm(1)
    for (const address of [0x48, 0x49]) device.input.delete(address)
    const { port } = await server(device)
    const meter = listen(source(`tcp://127.0.0.1:${port}`))
    void meter.next().catch(() => undefined)
    await expect.poll(meter.codes, patience).toContain('modbus/refused')
  })

  test('the server goes and comes back', async () => {
    const device = sdm(1)
    const first = await startModbus(device)
    const meter = listen(source(`tcp://127.0.0.1:${first.port}`))
    await meter.next()
    await first.close()
    const next = meter.next()
    await expect.poll(() => meter.codes().join(), patience).toMatch(/port\/(lost|unreachable)/)
    counted(device, 2)
    await server(device, { port: first.port })
    await expect.poll(async () => (await meter.next()).importWh, patience).toBe(2_000)
    expect((await next).importWh).toBeGreaterThanOrEqual(1_000)
  })

  test.each<[string, Mangle, RegExp]>([
    ['cut short', third((a) => ({ bytes: a.subarray(0, 11), cut: true })), /port\/lost/],
    ['half an answer', third((a) => ({ bytes: a.subarray(0, -3) })), /modbus\/silent/],
    ['fewer registers', third((a) => ({ bytes: resized(a, -4) })), /modbus\/bad-answer/],
    ['more registers', third((a) => ({ bytes: resized(a, 4) })), /modbus\/bad-answer/],
    [
      'a count that lies',
      third((a) => ({ bytes: a.with(8, a[8]! - 2) as Buffer })),
      /modbus\/bad-answer/,
    ],
    ['another unit', third((a) => ({ bytes: a.with(6, 9) as Buffer })), /modbus\/bad-answer/],
    ['another function', third((a) => ({ bytes: a.with(7, 3) as Buffer })), /modbus\/bad-answer/],
    [
      'nothing in it',
      third((a) => ({ bytes: Buffer.concat([a.subarray(0, 4), Buffer.alloc(2)]) })),
      /modbus\/(bad-answer|silent)/,
    ],
    [
      'noise',
      third(() => ({ bytes: Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n') })),
      /modbus\/(silent|bad-answer)/,
    ],
    [
      'to another question',
      third((a) => ({ bytes: a.with(1, a[1]! ^ 0x80) as Buffer })),
      /modbus\/silent/,
    ],
    ['too late', third((a) => ({ bytes: a, lateMs: 450 })), /modbus\/silent/],
  ])('an answer that is %s is never a number; then it goes on', async (_, mangle, code) => {
    const device = sdm(1_234.56)
    const { port } = await server(device)
    const meter = listen(source(await mangled(port, mangle)))
    const all = [await meter.next(), await meter.next(), await meter.next()]
    expect(meter.codes().join()).toMatch(code)
    expect(new Set(all.map(({ importWh, powerW }) => `${importWh} ${powerW}`))).toEqual(
      new Set(['1234560 230']),
    )
  })

  test('nobody there yet', async () => {
    const device = sdm(3)
    const first = await startModbus(device)
    const { port } = first
    await first.close()
    const meter = listen(source(`tcp://127.0.0.1:${port}`))
    const next = meter.next()
    await expect.poll(meter.codes, patience).toContain('port/unreachable')
    await server(device, { port })
    expect(await next).toMatchObject({ importWh: 3_000 })
  })

  test('a device that hangs up at once is tried again', async () => {
    const device = sdm(3)
    const { port } = await server(device)
    let refusals = 2
    const relay = createServer((near) => {
      near.on('error', () => undefined)
      if (refusals-- > 0) return near.destroy()
      const far = connect(port, '127.0.0.1')
      far.on('error', () => undefined)
      return near.pipe(far).pipe(near)
    })
    relay.listen(0, '127.0.0.1')
    await once(relay, 'listening')
    endings.push(() => new Promise((resolve) => relay.close(resolve)))
    const meter = listen(source(`tcp://127.0.0.1:${(relay.address() as AddressInfo).port}`))
    expect(await meter.next()).toMatchObject({ importWh: 3_000 })
    expect(meter.codes().join()).toMatch(/port\/(lost|unreachable)/)
  })

  test('a file is no device', async () => {
    expect(
      await listen(source(import.meta.filename))
        .next()
        .then(() => '', codeOf),
    ).toBe('port/missing')
  })
})

/** An answer over TCP with as many bytes of content more or less, and lengths that say so. */
function resized(answer: Buffer, by: number): Buffer {
  const bytes = by < 0 ? answer.subarray(0, by) : Buffer.concat([answer, Buffer.alloc(by, 0x41)])
  const copy = Buffer.from(bytes)
  copy.writeUInt16BE(answer.readUInt16BE(4) + by, 4)
  copy[8] = answer[8]! + by
  return copy
}

/** A wire with nobody at its other end. */
function deafWire(): Duplex {
  return new Duplex({ read: () => undefined, write: (_chunk, _encoding, done) => done() })
}

/** A frame with its checksum, from hexadecimal. */
function frame(hex: string): Buffer {
  const bytes = fromHex(hex.replaceAll(' ', ''))
  const crc = Buffer.alloc(2)
  crc.writeUInt16LE(crc16Modbus(bytes))
  return Buffer.concat([bytes, crc])
}

describe('a serial line', () => {
  test('the checksum, by Eastron’s own example', () => {
    expect(toHex(frame('01 04 01 56 00 02'))).toBe('0104015600029027')
    expect(toHex(frame('01 04 04 43 66 33 34'))).toBe('010404436633341b38')
  })

  const question = frame('01 04 00 48 00 02')
  const answer = frame('01 04 04 41 40 00 00')
  test.each<[string, Buffer[], Buffer | null]>([
    ['whole', [answer], answer],
    ['in pieces', [...answer].map((byte) => Buffer.of(byte)), answer],
    ['behind noise', [Buffer.from('000104ff01', 'hex'), answer], answer],
    ['behind the echo of the question', [question, answer], answer],
    ['refused', [frame('01 84 02')], frame('01 84 02')],
    ['of another unit', [frame('02 04 04 41 40 00 00')], null],
    ['of another function', [frame('01 03 04 41 40 00 00')], null],
    ['of another length', [frame('01 04 02 41 40')], null],
    ['with a bit wrong', [answer.with(4, 0x41) as Buffer], null],
    ['half', [answer.subarray(0, 7)], null],
    ['behind a lot of noise', [Buffer.alloc(9_000, 1), answer], answer],
  ])('an answer %s', (_, chunks, expected) => {
    const wire = deafWire()
    const port = createRtuPort(wire)
    const emitted: Buffer[] = []
    port.on('data', (bytes: Buffer) => emitted.push(Buffer.from(bytes)))
    port.write(question)
    for (const chunk of chunks) wire.emit('data', chunk)
    expect(emitted).toEqual(expected === null ? [] : [expected])
  })

  test('what comes before the question belongs to another one', () => {
    const wire = deafWire()
    const port = createRtuPort(wire)
    const emitted: Buffer[] = []
    port.on('data', (bytes: Buffer) => emitted.push(bytes))
    wire.emit('data', answer)
    port.write(question)
    expect([emitted, port.heard()]).toEqual([[], 0])
    wire.emit('data', answer.subarray(0, 4))
    expect([emitted, port.heard()]).toEqual([[], 4])
  })
})

describe.skipIf(!hasSocat)(`a cable${hasSocat ? '' : ' (skipped: needs socat)'}`, () => {
  test('a device on a serial line, asked by one who does not know us', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'fogmeter-modbus-'))
    endings.push(async () => rmSync(folder, { recursive: true, force: true }))
    const at = join(folder, 'ttyBUS')
    const cable = await plugCable(at)
    endings.push(() => cable.pull())
    const device = sdm(1_234.56)
    const meter = new ServerSerial(vectorOf(device), {
      path: `${at}far`,
      baudRate: 9_600,
      unitID: 1,
    })
    endings.push(() => new Promise((resolve) => meter.close(resolve)))
    await once(meter, 'initialized')
    const reader = listen(source(at))
    expect(await reader.next()).toMatchObject({ importWh: 1_234_560, powerW: 230 })
    device.exception = 6
    counted(device, 1_235)
    const next = reader.next()
    await expect.poll(reader.codes, patience).toContain('modbus/exception')
    device.exception = null
    expect((await next).importWh).toBe(1_235_000)
  })

  test('an answer that comes late is not taken for that to the next question', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'fogmeter-modbus-'))
    endings.push(async () => rmSync(folder, { recursive: true, force: true }))
    const at = join(folder, 'ttyLATE')
    const cable = await plugCable(at)
    endings.push(() => cable.pull())
    const stopping = new AbortController()
    const link = await openModbus({ source: source(at), answerMs: 100, signal: stopping.signal })
    endings.push(() => link.close())
    expect(await link.read('input', 0, 2).then(() => 'read', codeOf)).toBe('modbus/silent')
    await cable.say(frame('01 04 04 41 40 00 00'))
    // Both have the form of an answer to this question too; only the one that comes after it is.
    const asked = link.read('input', 72, 2)
    setTimeout(() => void cable.say(frame('01 04 04 42 c8 00 00')), 80)
    expect(await asked.catch(codeOf)).toEqual([0x42c8, 0])
  })
})

describe('on the command line', () => {
  test('where, which unit, which profile; a configured source keeps the rest', () => {
    expect(parseSource('modbus:tcp://meter.local?profile=sdm630&unit=3', null)).toMatchObject({
      kind: 'modbus',
      port: 'tcp://meter.local:502',
      unit: 3,
      profile: 'sdm630',
      intervalSeconds: 10,
    })
    expect(parseSource('modbus:/dev/ttyUSB0?profile=sdm120&serial=2400 8N1', null)).toMatchObject({
      port: '/dev/ttyUSB0',
      serial: { baudRate: 2_400 },
    })
    const configured = source('/dev/ttyUSB0', { unit: 9, positive: 'export', profile: 'sunspec' })
    expect(parseSource('modbus:tcp://[::1]:1502', configured)).toEqual({
      ...configured,
      port: 'tcp://[::1]:1502',
    })
    expect(parseSource('modbus:/dev/ttyUSB1?unit=2', configured)).toEqual({
      ...configured,
      port: '/dev/ttyUSB1',
      unit: 2,
    })
  })

  test.each([
    'modbus',
    'modbus:tcp://meter.local',
    'modbus:tcp://meter.local?profile=sdm',
    'modbus:tcp://meter.local:99999?profile=sdm630',
    'modbus:tcp://meter.local?profile=sdm630&unit=256',
    'modbus:tcp://meter.local?profile=sdm630&unit=1.5',
    'modbus:tcp://meter.local?profile=sdm630&colour=red',
    'modbus:tcp://meter.local?profile=sdm630?unit=1',
    'modbus:?profile=sdm630',
    'modbus:-?profile=sdm630',
  ])('%s is refused', (text) => {
    expect(codeThrown(() => parseSource(text, null))).toBe('cli/bad-source')
  })
})

describe('in a configuration', () => {
  const folder = mkdtempSync(join(tmpdir(), 'fogmeter-modbus-'))
  afterAll(() => rmSync(folder, { recursive: true, force: true }))

  /** What is wrong with a source of these lines; the source when nothing is. */
  function checked(...lines: string[]): string | object {
    const path = join(folder, 'meter.toml')
    const rest = [
      'node = "fog-1"\n[broker]\nurl = "mqtt://127.0.0.1:1883"',
      '[identity]\nkey = "{name}.key"\ncredential = "m.cwt"\nauthority = "a.pub"',
      '[store]\npath = "m.db"\n[source]\nkind = "modbus"\nport = "/dev/ttyUSB0"',
    ]
    writeFileSync(path, [...rest, ...lines].join('\n'))
    try {
      return loadMeterConfig(path).config.source
    } catch (error) {
      if (error instanceof CodedError && error.code === 'config/invalid') return error.message
      throw error
    }
  }

  const power = '[[source.map]]\nregister = 0x34\ntype = "float32"\nvalue = "power"\nunit = "W"'

  test('a profile, or a table with a power', () => {
    expect(checked('profile = "sunspec"', 'unit = 240')).toMatchObject({
      port: '/dev/ttyUSB0',
      unit: 240,
      profile: 'sunspec',
      map: [],
    })
    expect(checked(power)).toMatchObject({
      map: [{ register: 52, table: 'input', first: 'high', scale: 0, value: 'power' }],
    })
  })

  test.each([
    ['neither', [], 'no row that makes a reading'],
    ['both', ['profile = "sunspec"', power], 'rows beside a profile'],
    ['no power', [power.replace('"power"', '"import"')], 'no row that makes a reading'],
    ['a scale too far away', [`${power}\nscale_register = 200`], 'too far away'],
    ['a register beyond the last', [power.replace('0x34', '65535')], 'beyond the last address'],
    ['an unknown profile', ['profile = "sdm"'], 'source.profile'],
    ['a type nobody has', [power.replace('float32', 'bcd')], 'source.map.0.type'],
    ['a fleet at one meter', ['profile = "sdm630"', '[fleet]\ncount = 2'], 'feeds one meter'],
  ])('%s is refused, with a word why', (_, lines, why) => {
    expect(checked(...lines)).toContain(why)
  })
})
