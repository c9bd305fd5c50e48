import { createCipheriv } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createServer, type AddressInfo, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import * as fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { concat, fromHex, toHex } from '#bytes'
import type { PortSource } from '#config'
import { codeOf } from '#errors'
import type { Measurement } from '#meter'
import { additionalData, formatEncrypted, publicAuthenticationKey } from '#p1'
import type { FollowMemory } from '#telegram'
import { createDating } from '../../apps/meter/dating.ts'
import { fromPort } from '../../apps/meter/port-source.ts'
import { recorder, recorderFor } from '../../apps/meter/recording.ts'
import { createHoldingRhythm, createRhythm } from '../../apps/meter/rhythm.ts'
import { codeThrown } from '../support/coded.ts'
import { hasSocat, plugCable } from '../support/pty.ts'
import { latin1, p1Telegram, recorded } from '../support/telegrams.ts'

let folder: string
beforeAll(() => void (folder = mkdtempSync(join(tmpdir(), 'fogmeter-port-'))))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const serial = { baudRate: 115_200, dataBits: 8, parity: 'none', stopBits: 1 } as const
const waits = { firstMs: 20, maxMs: 50, silenceMs: 60_000 }

function p1(port: string, more: { keyFile?: string } = {}): PortSource {
  return { kind: 'p1', port, serial, utcOffsetMinutes: 60, intervalSeconds: 0, ...more }
}

/** One telegram of a meter that has counted this much. */
function telegram(importWh: number, meterId = 'A', powerFailures = 0): Uint8Array {
  return p1Telegram([
    '0-0:1.0.0(261126120000W)',
    `0-0:96.1.1(${toHex(latin1(meterId))})`,
    `1-0:1.8.0(${importWh}*Wh)`,
    '1-0:1.7.0(00.230*kW)',
    `0-0:96.7.9(${powerFailures})`,
  ])
}

/** A source that is being read, and everything it told the log. */
function listen(
  source: PortSource,
  more: {
    input?: Readable
    waits?: typeof waits
    remembered?: FollowMemory
    record?: (bytes: Uint8Array) => void
    nowS?: number
    newestTimeS?: number
  } = {},
) {
  const said: { message: string; data: Record<string, unknown> }[] = []
  const remembered: FollowMemory[] = []
  const tell = (data: object, message: string) => void said.push({ message, data: { ...data } })
  const stopping = new AbortController()
  const measurements = fromPort({
    source,
    waits: more.waits ?? waits,
    input: more.input ?? Readable.from([]),
    signal: stopping.signal,
    log: { info: tell, warn: tell, debug: tell },
    clock: { now: () => (more.nowS ?? 1_795_000_000) * 1_000, monotonic: () => performance.now() },
    time: { known: () => more.nowS !== 0, boot: { id: 1, ageS: () => 5 } },
    newestTimeS: more.newestTimeS ?? 0,
    remembered: more.remembered ?? null,
    remember: (memory) => void remembered.push(memory),
    record: more.record,
  })
  const codes = () => said.map(({ data }) => data['code'] ?? data['event'])
  return {
    measurements,
    said,
    codes,
    remembered,
    stop: () => stopping.abort(),
    next: async (): Promise<Measurement> => {
      const { value } = await measurements.next()
      if (value === undefined) throw new Error(`the source ended: ${JSON.stringify(said)}`)
      return value
    },
  }
}

const readAll = (source: PortSource, more: Parameters<typeof listen>[1] = {}) =>
  Array.fromAsync(listen(source, more).measurements)

describe('a file, a pipe', () => {
  test('every telegram, by its own time; those that are stored already are left out', async () => {
    const input = [recorded('p1/v5.txt'), recorded('p1/v5-two-mbus.txt')]
    const both = await readAll(p1('-'), { input: Readable.from(input) })
    expect(both).toMatchObject([
      { timeS: 1_483_381_202, importWh: 6_825, powerW: 244 },
      { timeS: 1_587_933_205, importWh: 2_375_582, powerW: 111, replaced: true },
    ])
    const later = await readAll(p1('-'), {
      input: Readable.from(input),
      newestTimeS: 1_483_381_202,
    })
    expect(later.map(({ timeS }) => timeS)).toEqual([1_587_933_205])
  })

  test('SML from a file: of now, since its meters have no calendar', async () => {
    const path = join(import.meta.dirname, '../vectors/data/sml/emh-ehz.bin')
    const source: PortSource = { kind: 'sml', port: path, serial, intervalSeconds: 0 }
    expect(await readAll(source)).toMatchObject([
      { timeS: 1_795_000_000, powerW: 564, importWh: 15_338_555, exportWh: null },
    ])
  })

  test('a recording is what came, byte for byte, for this user only, and can be read again', async () => {
    const path = join(folder, 'recorded')
    const chunks = [latin1('noise'), recorded('p1/v5.txt'), recorded('p1/v4-2.txt').slice(0, 99)]
    const first = await readAll(p1('-'), { input: Readable.from(chunks), record: recorder(path) })
    expect(new Uint8Array(readFileSync(path))).toEqual(concat(...chunks))
    expect(statSync(path).mode & 0o777).toBe(0o600)
    expect(await readAll(p1(path))).toEqual(first)
  })

  test.each([
    ['a file that is not there', p1('/nowhere/at-all'), 'port/missing'],
    ['a folder', p1('/tmp'), 'port/unreadable'],
    ['a key that is not there', p1('-', { keyFile: '/nowhere/key' }), 'port/no-key'],
  ])('%s ends it', async (_, source, code) => {
    expect(await readAll(source).then(() => 'no error', codeOf)).toBe(code)
  })

  test('what does not speak in telegrams cannot be recorded, and says so instead of an empty file', () => {
    const path = join(folder, 'never')
    const asked = ['p1', 'sml', 'modbus', 'mqtt', 'csv', 'sim'].map((kind) =>
      codeThrown(() => recorderFor({ kind }, path)),
    )
    const [fine, refused] = ['nothing thrown', 'cli/usage']
    expect(asked).toEqual([fine, fine, refused, refused, refused, refused])
    expect(recorderFor({ kind: 'mqtt' }, undefined)).toBeUndefined()
  })

  test('a recording that cannot be written ends it; nobody wants half a bug report', async () => {
    const input = Readable.from([recorded('p1/v5.txt')])
    const record = recorder('/nowhere/at-all/file')
    expect(await readAll(p1('-'), { input, record }).then(() => 'no error', codeOf)).toBe(
      'port/not-recorded',
    )
  })
})

describe('encrypted telegrams', () => {
  const key = fromHex('000102030405060708090a0b0c0d0e0f')

  function encrypted(authenticationKey: Uint8Array): Uint8Array {
    const nonce = fromHex('534147670000000100000001')
    const cipher = createCipheriv('aes-128-gcm', key, nonce, { authTagLength: 12 })
    cipher.setAAD(additionalData(authenticationKey))
    const ciphertext = concat(cipher.update(telegram(4_711)), cipher.final())
    return formatEncrypted({ nonce, ciphertext, tag: cipher.getAuthTag() })
  }

  test.each([
    ['the key of Luxembourg, where the second one is public', toHex(key), publicAuthenticationKey],
    ['two keys', `${toHex(key)}\n${'ab'.repeat(16)}\n`, new Uint8Array(16).fill(0xab)],
  ])('%s', async (_, text, authenticationKey) => {
    const keyFile = join(folder, 'p1.key')
    writeFileSync(keyFile, text)
    const input = Readable.from([encrypted(authenticationKey)])
    expect(await readAll(p1('-', { keyFile }), { input })).toMatchObject([{ importWh: 4_711 }])
  })

  test('no key, a wrong key, a changed byte: nothing, and the log says which', async () => {
    const keyFile = join(folder, 'wrong.key')
    const changed = encrypted(publicAuthenticationKey)
    changed[40]! ^= 1
    const outcomes = []
    for (const [text, bytes] of [
      [null, encrypted(publicAuthenticationKey)],
      ['ff'.repeat(16), encrypted(publicAuthenticationKey)],
      [toHex(key), changed],
    ] as const) {
      if (text !== null) writeFileSync(keyFile, text)
      const source = p1('-', text === null ? {} : { keyFile })
      const listener = listen(source, { input: Readable.from([bytes]) })
      expect(await Array.fromAsync(listener.measurements)).toEqual([])
      outcomes.push(...listener.codes())
    }
    expect(outcomes).toEqual(['p1/encrypted', 'p1/wrong-key', 'p1/wrong-key'])
    writeFileSync(keyFile, 'my secret key')
    expect(await readAll(p1('-', { keyFile })).then(() => '', codeOf)).toBe('port/bad-key')
  })
})

describe('a TCP port', () => {
  test('opened again when it closes, when it breaks, and when it is silent', async () => {
    const sockets: Socket[] = []
    const server = createServer((socket) => {
      socket.on('error', () => undefined)
      const index = sockets.push(socket) - 1
      if (index === 0) socket.end(telegram(100))
      else if (index === 1) socket.write(telegram(200))
      // The third says nothing, the fourth does.
      else if (index === 3) socket.write(telegram(300))
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    const listener = listen(p1(`tcp://127.0.0.1:${port}`), { waits: { ...waits, silenceMs: 100 } })
    const registers = [await listener.next(), await listener.next()]
    sockets[1]?.resetAndDestroy()
    registers.push(await listener.next())
    expect(registers.map(({ importWh }) => importWh)).toEqual([100, 200, 300])
    expect(listener.codes()).toEqual(
      expect.arrayContaining(['port/closed', 'port/lost', 'port/silent', 'port-back']),
    )
    listener.stop()
    expect((await listener.measurements.next()).done).toBe(true)
    for (const socket of sockets) socket.destroy()
    server.close()
  })

  test('nobody listens yet: tried again until somebody does', async () => {
    const first = createServer().listen(0, '127.0.0.1')
    await once(first, 'listening')
    const { port } = first.address() as AddressInfo
    first.close()
    await once(first, 'close')
    const listener = listen(p1(`tcp://127.0.0.1:${port}`))
    const arrival = listener.next()
    await expect.poll(listener.codes).toContain('port/unreachable')
    const server = createServer((socket) => void socket.end(telegram(7))).listen(port, '127.0.0.1')
    expect(await arrival).toMatchObject({ importWh: 7 })
    listener.stop()
    server.close()
  })
})

describe.skipIf(!hasSocat)(`a serial port${hasSocat ? '' : ' (skipped: needs socat)'}`, () => {
  test('noise, half telegrams, wrong checksums; a cable pulled and plugged in again', async () => {
    const device = join(folder, 'ttyMETER')
    const cable = await plugCable(device)
    const listener = listen(p1(device))
    const first = listener.next()
    await expect.poll(listener.codes).toContain('port-open')
    const bad = telegram(666)
    bad[bad.length - 3]! ^= 1
    await cable.say(telegram(100).slice(40))
    await cable.say(concat(Uint8Array.of(0xff, 0x00, 0x2f, 0x21), telegram(50).slice(0, 50)))
    await cable.say(concat(bad, telegram(200)))
    expect(await first).toMatchObject({ importWh: 200, powerW: 230, timeS: 1_795_000_000, ageS: 5 })
    expect(listener.codes()).toContain('p1/bad-crc')

    const second = listener.next()
    await cable.say(telegram(250).slice(0, 60))
    await cable.pull()
    // The system tells of it by an error or by an end, whichever it comes to first.
    const ended = () => listener.codes().some((code) => /^port\/(lost|closed)$/.test(String(code)))
    await expect.poll(ended, { timeout: 5_000 }).toBe(true)
    const again = await plugCable(device)
    await expect.poll(() => listener.codes().filter((code) => code === 'port-open')).toHaveLength(2)
    await again.say(concat(telegram(250).slice(60), telegram(300, 'B', 1)))
    expect(await second).toMatchObject({ importWh: 300, replaced: true })
    expect(listener.codes()).toContain('port-back')
    listener.stop()
    await again.pull()
  })

  test('silence: the port is given back and opened again', async () => {
    const device = join(folder, 'ttySILENT')
    const cable = await plugCable(device)
    const listener = listen(p1(device), { waits: { ...waits, silenceMs: 100 } })
    const first = listener.next()
    await expect.poll(() => listener.codes().filter((code) => code === 'port-open')).toHaveLength(3)
    expect(new Set(listener.codes())).toEqual(new Set(['port-open', 'port/silent']))
    const saying = setInterval(() => void cable.say(telegram(5)), 50)
    expect(await first).toMatchObject({ importWh: 5 })
    clearInterval(saying)
    listener.stop()
    await listener.measurements.return()
    await cable.pull()
  })

  test('a device that is not there yet', async () => {
    const device = join('/dev/shm', `fogmeter-${process.pid}`)
    const listener = listen(p1(device))
    const first = listener.next()
    await expect.poll(listener.codes).toContain('port/unreachable')
    const cable = await plugCable(device)
    await expect.poll(listener.codes).toContain('port-open')
    await cable.say(telegram(1))
    expect(await first).toMatchObject({ importWh: 1 })
    listener.stop()
    await cable.pull()
  })
})

function dating(nowS: number, known: boolean) {
  const said: unknown[] = []
  const log = {
    info: () => undefined,
    debug: () => undefined,
    warn: (data: object) => void said.push(data),
  }
  const dated = createDating({
    clock: { now: () => nowS * 1_000 + 999, monotonic: () => 0 },
    time: { known: () => known, boot: { id: 1, ageS: () => 42 } },
    log,
  })
  return { dated, said }
}

describe('the time of a telegram', () => {
  test('of now by this machine, which also notices a meter that is wrong, once', () => {
    const { dated, said } = dating(1_795_000_000, true)
    expect(dated(1_795_000_100, true)).toEqual({ timeS: 1_795_000_000, ageS: 42 })
    expect(said).toEqual([])
    const wrong = dating(1_795_003_700, true)
    wrong.dated(1_795_000_100, true)
    wrong.dated(1_795_000_100, true)
    expect(wrong.said).toEqual([{ event: 'meter-clock', bySeconds: -3_600 }])
  })

  test('before this machine knows the time: by the meter, as an estimate', () => {
    expect(dating(60, false).dated(1_795_000_100, true)).toEqual({
      timeS: 1_795_000_100,
      ageS: 42,
      timeQuality: 1,
    })
    expect(dating(60, false).dated(null, true)).toEqual({
      timeS: 60,
      ageS: 42,
      timeQuality: 2,
    })
  })
})

const at = (powerW: number, more: Partial<Measurement> = {}) => ({ timeS: 1, powerW, ...more })

describe('the rhythm', () => {
  test('one in ten seconds, with the mean of those held back', () => {
    const rhythm = createRhythm(10)
    const taken = [0, 1, 2, 9.6, 10, 19, 19.6].map((s, i) => rhythm(at(100 * i), s)?.powerW ?? null)
    expect(taken).toEqual([0, null, null, 200, null, null, 500])
  })

  test('another meter and a power failure do not wait, nor does a clock that went back', () => {
    const rhythm = createRhythm(10)
    const passes = [
      rhythm(at(1), 0),
      rhythm(at(1, { replaced: true }), 1),
      rhythm(at(1), 2),
      rhythm(at(1, { status: 128 }), 3),
      rhythm(at(1), 1),
      rhythm(at(1), null),
    ].map((taken) => taken !== null)
    expect(passes).toEqual([true, true, false, true, true, true])
  })

  test('a gadget that speaks when its power changes: each power counts until the next', () => {
    const rhythm = createHoldingRhythm(10)
    const said = [
      [0, 0],
      [9, 1_000],
      [9.1, 1_010],
      [9.2, 990],
      [9.4, 1_000],
      [10, 1_000],
      [600, 2_000],
      [600, 0],
      [1_200, 0],
    ] as const
    const taken = said.map(([s, powerW]) => rhythm(at(powerW), s)?.powerW ?? null)
    // 9 s of nothing and one of 1000 W or so are 100 W, not the mean of what was said.
    expect(taken).toEqual([0, null, null, null, null, 100, 1_000, null, 0])
  })

  test('any words at any time: energy is what was said by how long it held', () => {
    const words = fc.array(fc.tuple(fc.nat(20), fc.integer({ min: -5_000, max: 5_000 })))
    fc.assert(
      fc.property(words, fc.nat(30), (gaps, interval) => {
        const rhythm = createHoldingRhythm(interval)
        let [nowS, heldW, owedWs, lastS] = [0, 0, 0, 0]
        rhythm(at(0), 0)
        for (const [gapS, powerW] of gaps) {
          nowS += gapS
          owedWs += heldW * gapS
          heldW = powerW
          const taken = rhythm(at(powerW), nowS)
          if (taken === null) continue
          expect(Math.abs(taken.powerW * (nowS - lastS) - owedWs)).toBeLessThanOrEqual(
            (nowS - lastS) / 2,
          )
          owedWs = 0
          lastS = nowS
        }
      }),
    )
  })
})
