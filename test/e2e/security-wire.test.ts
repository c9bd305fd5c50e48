/**
 * An attacker on every wire of running programs: listens, replays, changes, splices, reflects.
 * Nothing of it counts, the counters say why, and every honest reading is accounted for once.
 */
import { chmodSync, copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { randomBytes } from 'node:crypto'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { concat, toBase64Url, toHex, utf8 } from '#bytes'
import { loadIdentity } from '#identity'
import { encodeUp } from '#messages'
import { isRecord } from '#record'
import { account } from '../../apps/demo/account.ts'
import {
  prepareCluster,
  startCluster,
  startOne,
  stopCluster,
  stopTier,
  type Cluster,
} from '../../apps/demo/cluster.ts'
import { waitUntilDelivered, waitUntilDrained } from '../../apps/demo/drain.ts'
import { endProcess, waitUntilUp, type ProcessSpec } from '../../apps/demo/processes.ts'
import { plainReading } from '../support/readings.ts'
import { greet, open, subscribe } from '../support/raw-mqtt.ts'
import { fogmeter } from '../support/fogmeter.ts'
import { logOf, metric, reconfigure, specOf, until } from '../support/security.ts'
import { flipBit } from '../support/tamper.ts'
import { publishPacket, startTap, type Captured, type Tap } from '../support/tap.ts'

const dir = mkdtempSync(join(tmpdir(), 'fogmeter-wire-'))
const token = toBase64Url(randomBytes(24))
const accidents: string[] = []
const ports = { fog: 0, cloud: 0 }
let cluster: Cluster
let taps: { meters: [Tap, Tap]; cloud: Tap }

/** A register no other number in a log or on the wire is likely to equal. */
const FIRST_WH = 918_273_645
const ROWS = 4_000

function rowsOf(meter: number): string {
  const startS = Math.floor(Date.now() / 1000) - 40_000
  const rows = Array.from({ length: ROWS }, (_, i) => {
    const powerW = 7_000 + meter * 1_000 + (i % 97)
    return `${startS + i * 10},${powerW},231.7,${FIRST_WH + meter * 100_000 + i}`
  })
  return `time,power_w,voltage_v,import_wh\n${rows.join('\n')}\n`
}

beforeAll(async () => {
  const meters: [Tap, Tap] = [await startTap(() => ports.fog), await startTap(() => ports.fog)]
  taps = { meters, cloud: await startTap(() => ports.cloud) }
  cluster = await prepareCluster({
    dir,
    fogs: 1,
    meters: 2,
    source: `kind = "csv"\nfile = "${dir}/{index}.csv"\ninterval_seconds = 10\ntime_scale = 100`,
    block: 'readings = 4\nseconds = 60',
    window: 'idle_seconds = 2\nrevision_delay_ms = 200',
    cloudUrl: () => `mqtt://127.0.0.1:${taps.cloud.port}`,
  })
  ports.cloud = cluster.cloudBrokerPort
  const tokenFile = join(dir, 'api.token')
  writeFileSync(tokenFile, token, { mode: 0o600 })
  for (const spec of cluster.specs) reconfigure(spec, (text) => `${text}[log]\nlevel = "debug"\n`)
  reconfigure(specOf(cluster, 'cloud'), (text) => {
    return text.replace('[http]', `[http]\ntoken_file = "${tokenFile}"`)
  })
  // An attacker in a hurry; what stops a flood is tested elsewhere.
  const limits = '[limits]\npackets_per_second = 100000\nbytes_per_second = 100000000\n'
  reconfigure(specOf(cluster, 'fog-1-broker'), (text) => text + limits)
  meters.forEach((tap, index) => {
    writeFileSync(join(dir, `${index}.csv`), rowsOf(index))
    reconfigure(specOf(cluster, `meter-0${index + 1}`), (text) => {
      ports.fog = Number(/url = "mqtt:\/\/127.0.0.1:(\d+)"/.exec(text)?.[1])
      return text.replace(/url = ".*"/, `url = "mqtt://127.0.0.1:${tap.port}"`)
    })
  })
  await startCluster(cluster, onAccident)
})

afterAll(async () => {
  await stopCluster(cluster)
  for (const tap of [...taps.meters, taps.cloud]) await tap.close()
  rmSync(dir, { recursive: true, force: true })
})

function onAccident({ name }: ProcessSpec, code: number | null): void {
  accidents.push(`${name} ended by itself (${code})`)
}

const agent = () => specOf(cluster, 'fog-1-agent')
const refused = (reason?: string) => metric(agent(), 'agent_records_refused_total', reason)
const opened = () => metric(agent(), 'agent_records_opened_total')
const stored = () => metric(agent(), 'agent_readings_total')
const upFrames = ({ frames }: Tap) => frames.filter(({ way }) => way === 'up')
const records = (tap: Tap) => upFrames(tap).filter(({ payload }) => isRecord(payload))
const payloads = (frames: readonly Captured[]) => frames.map(({ payload }) => payload)

/** Honest records so far, held back and counted: exactly these may have been opened. */
async function expectOnlyHonestOpened(): Promise<void> {
  for (const tap of taps.meters) tap.hold(true)
  const honest = taps.meters.reduce((sum, tap) => sum + records(tap).length, 0)
  await until(`${honest} records opened, no more`, async () => (await opened()) >= honest)
  expect(await opened()).toBe(honest)
  for (const tap of taps.meters) tap.hold(false)
}

/** Does something to the next honest record on its way up, ahead of it; resolves when done. */
function aheadOfNext(tap: Tap, times: number, make: (honest: Uint8Array) => Uint8Array[]) {
  let left = times
  const { promise, resolve } = Promise.withResolvers<void>()
  tap.ahead = ({ payload }) => {
    if (!isRecord(payload)) return []
    left -= 1
    if (left === 0) {
      tap.ahead = () => []
      setImmediate(resolve)
    }
    return make(payload)
  }
  return promise
}

/** A record's header and counter, with something else behind them. */
function withHead(honest: Uint8Array, body: Uint8Array): Uint8Array {
  const head = 2 + ((honest[0] ?? 0) & 7)
  const own = 2 + ((body[0] ?? 0) & 7)
  return concat(honest.slice(0, head), body.slice(own))
}

describe('on the wire of a living session', () => {
  test('everything again: replays, all of them', async () => {
    await until('two meters store', async () => (await stored()) >= 40)
    const [tap] = taps.meters
    const again = upFrames(tap)
    const count = records(tap).length
    tap.inject('up', payloads(again))
    await until(
      'each is refused',
      async () => (await refused('replay')) + (await refused('stale')) >= count,
    )
    const handshakes = (reason: string) => metric(agent(), 'agent_handshakes_refused_total', reason)
    expect(await handshakes('channel/stale')).toBe(1)
    expect(await metric(agent(), 'agent_handshakes_total')).toBe(2)
    await expectOnlyHonestOpened()
  })

  test('every bit of a record flipped, ahead of the record itself', async () => {
    const before = await refused('forged')
    let flips = 0
    await aheadOfNext(taps.meters[0], 1, (honest) => {
      const bits = Array.from({ length: honest.length * 8 }, (_, bit) => flipBit(honest, bit))
      flips = bits.length
      return bits
    })
    // All but those in the header byte, which make other kinds of frames.
    await until(
      'they are found forged',
      async () => (await refused('forged')) - before >= flips - 16,
    )
    expect(flips).toBeGreaterThan(200)
    await expectOnlyHonestOpened()
  })

  test('splices and reflections under fresh counters', async () => {
    const before = await refused('forged')
    const [one, two] = taps.meters
    const foreign = payloads(records(two)).slice(-5)
    const down = one.frames.filter(({ way, payload }) => way === 'down' && isRecord(payload))
    const tried = [...foreign, ...payloads(down).slice(-5)]
    await aheadOfNext(one, 3, (honest) => tried.map((frame) => withHead(honest, frame)))
    one.inject('up', payloads(down))
    one.inject('down', payloads(records(one)))
    one.inject('down', [Uint8Array.of(0xf6)])
    await until(
      'they are found forged',
      async () => (await refused('forged')) - before >= 3 * tried.length,
    )
    await expectOnlyHonestOpened()
    expect(one.clientIds).toHaveLength(1)
  })
})

/** An ordinary MQTT client that takes a channel id of the past and says all that was said on it. */
async function sayAgain(frames: readonly Captured[]): Promise<number[]> {
  const cid = frames[0]?.topic.split('/').at(-1) ?? ''
  const target = { port: ports.fog, ports: [ports.fog], socket: '', stop: async () => undefined }
  const client = await open(target)
  if ((await greet(client, { clientId: cid })) !== 0) throw new Error(`${cid} is still taken`)
  await subscribe(client, `fm/1/fog-1/dn/${cid}`)
  const say = (some: readonly Captured[]) => {
    for (const { topic, payload } of some) client.socket.write(publishPacket(topic, payload))
  }
  say(frames)
  // "Unknown session" is said every two seconds at most, and this channel may just have heard it.
  const timer = setInterval(() => say(frames.slice(-1)), 500)
  const hint = await client.get((packet) => packet.cmd === 'publish' && isHint(packet.payload))
  clearInterval(timer)
  client.socket.destroy()
  expect(hint).not.toBeNull()
  const answers = client.received.filter((packet) => packet.cmd === 'publish')
  return answers.map(({ payload }) => Buffer.from(payload)[0] ?? 0)
}

function isHint(payload: string | Buffer): boolean {
  return payload.length === 1 && Buffer.from(payload)[0] === 0xf6
}

describe('after the session', () => {
  test('in a new session of the same meter, and on the old channel', async () => {
    const [tap] = taps.meters
    const old = upFrames(tap)
    tap.cut()
    const fresh = () => records(tap).filter(({ topic }) => topic !== old[0]?.topic).length
    await until('a new session', () => fresh() >= 3)
    const before = await refused('forged')
    const handshakes = await metric(agent(), 'agent_handshakes_total')
    tap.inject('up', payloads(old))
    const answers = await sayAgain(old)
    // Nothing but fresh answers to a message_1 and "unknown session": no record ever.
    expect(answers.filter((first) => first < 0x20)).toEqual([])
    await until('refused', async () => (await refused('forged')) > before)
    expect(await metric(agent(), 'agent_handshakes_total')).toBe(handshakes)
    await expectOnlyHonestOpened()
  })

  test('after the agent was killed and started again', async () => {
    const old = taps.meters.map((tap) => upFrames(tap))
    const running = cluster.running.get('fog-1-agent')
    if (running) await endProcess(running, 'SIGKILL')
    await waitUntilUp(startOne(cluster, agent(), onAccident))
    await until(
      'both meters are back',
      async () => (await metric(agent(), 'agent_handshakes_total')) >= 2,
    )
    taps.meters.forEach((tap, index) => tap.inject('up', payloads(old[index] ?? [])))
    const gone = old[0]?.filter(({ topic }) => topic === old[0]?.[0]?.topic) ?? []
    expect((await sayAgain(gone)).filter((first) => first < 0x20)).toEqual([])
    const honest = taps.meters.reduce((sum, tap) => sum + records(tap).length, 0)
    expect(await metric(agent(), 'agent_records_opened_total')).toBeLessThan(honest)
    expect(await metric(agent(), 'agent_handshakes_total')).toBe(2)
    const now = await stored()
    await until('readings go on', async () => (await stored()) > now + 16)
  })

  test('every honest reading is accounted for exactly once, and nothing else', async () => {
    await waitUntilDelivered(cluster)
    await stopTier(cluster, 'meter')
    await waitUntilDrained(cluster)
    await askForSummaries()
    await stopCluster(cluster)
    const result = account(cluster)
    expect([...result.problems, ...accidents]).toEqual([])
    expect(result).toMatchObject({ lost: 0, duplicated: 0, accounted: result.sent })
    expect(result.sent).toBeGreaterThan(100)
  })
})

function ask(bearer: string): Promise<Response> {
  return fetch(`http://127.0.0.1:${cluster.httpPort}/api/v1/status`, {
    headers: { authorization: `Bearer ${bearer}` },
  })
}

/** With the right token and with a wrong one, so that logs of both exist. */
async function askForSummaries(): Promise<void> {
  expect((await ask(token)).status).toBe(200)
  expect((await ask(`${token}x`)).status).toBe(401)
}

/** Which of `secrets` occur in `bytes`. */
function found(bytes: Uint8Array, secrets: Record<string, Uint8Array>): string[] {
  const haystack = Buffer.from(bytes)
  const names = Object.keys(secrets)
  return names.filter((name) => haystack.includes(Buffer.from(secrets[name] ?? 'missing')))
}

/** Registers as text and as they stand in CBOR, one by one. */
function readingSecrets(): Record<string, Uint8Array> {
  const secrets: Record<string, Uint8Array> = {}
  for (let meter = 0; meter < 2; meter++) {
    for (let i = 0; i < ROWS; i++) {
      const value = FIRST_WH + meter * 100_000 + i
      const bytes = Buffer.alloc(5, 0x1a)
      bytes.writeUInt32BE(value, 1)
      secrets[`register ${value} in CBOR`] = bytes
    }
    const digits = String(FIRST_WH + meter * 100_000).slice(0, 5)
    secrets[`registers ${digits}… in digits`] = utf8(digits)
  }
  return secrets
}

describe('what an eavesdropper has', () => {
  const names = {
    'a meter’s name': utf8('meter-0'),
    'the issuer’s name': utf8('fogmeter'),
    'a group': utf8('default'),
  }

  test('no device, no reading', () => {
    const wire = concat(...taps.meters.flatMap((tap) => tap.wire), ...taps.cloud.wire)
    expect(wire.length).toBeGreaterThan(10_000)
    expect(found(wire, { ...names, ...readingSecrets() })).toEqual([])
    expect(found(concat(...taps.cloud.wire), { 'the fog node’s name': utf8('fog-1') })).toEqual([])
    // The same search finds them where they are in the clear.
    const reading = encodeUp({ type: 'reading', reading: { ...plainReading, importWh: FIRST_WH } })
    expect(found(reading, readingSecrets())).toEqual([`register ${FIRST_WH} in CBOR`])
    const credential = readFileSync(join(dir, 'authority/enrolled/meter-01/meter-01.cwt'))
    expect(found(credential, names)).toEqual(Object.keys(names))
  })

  test('topics and client ids are channel ids and the node that is meant', () => {
    for (const [tap, node] of [
      [taps.meters[0], 'fog-1'],
      [taps.meters[1], 'fog-1'],
      [taps.cloud, 'cloud-a'],
    ] as const) {
      const topic = new RegExp(`^fm/1/${node}/(up|dn)/[A-Za-z0-9_-]{8}$`)
      expect(tap.frames.filter((frame) => !topic.test(frame.topic))).toEqual([])
      expect(tap.clientIds.filter((id) => !/^[A-Za-z0-9_-]{8}$/.test(id))).toEqual([])
      expect(new Set(tap.clientIds).size).toBe(tap.clientIds.length)
    }
    expect(taps.meters[0].clientIds.length).toBeGreaterThan(1)
  })
})

function keySecrets(): Record<string, Uint8Array> {
  const secrets: Record<string, Uint8Array> = { token: utf8(token) }
  for (const name of ['meter-01', 'meter-02', 'fog-1', 'cloud-a']) {
    const own = join(dir, 'authority/enrolled', name, name)
    const { signingSecret } = loadIdentity({
      key: `${own}.key`,
      credential: `${own}.cwt`,
      authority: join(dir, 'authority/authority.pub'),
    })
    const seed = Buffer.from(signingSecret)
    secrets[`${name} in hex`] = utf8(toHex(seed))
    secrets[`${name} in base64url`] = utf8(toBase64Url(seed))
    secrets[`${name} in base64`] = utf8(seed.toString('base64').slice(0, 42))
    secrets[`${name} as JSON bytes`] = utf8([...seed.subarray(0, 8)].join(','))
    // PKCS#8 puts 16 bytes before the seed, so its base64 in the file is shifted.
    const pem = readFileSync(`${own}.key`, 'utf8').split('\n')[1] ?? ''
    secrets[`${name} in PEM`] = utf8(pem.slice(24, 60))
  }
  return secrets
}

describe('secrets stay where they are', () => {
  test('no key, token or reading in any log of a life at level debug', () => {
    const logs = cluster.specs.map(({ log }) => logOf(log).text)
    const text = logs.join('')
    expect(text).toContain('"level":"warn"')
    expect(found(utf8(text), { ...keySecrets(), ...readingSecrets() })).toEqual([])
    expect(text).not.toMatch(/PRIVATE KEY|"(powerW|importWh|exportWh|voltageDv|signingSecret)"/)
    // The same search finds a key where it is.
    const own = join(dir, 'authority/enrolled/fog-1/fog-1.key')
    expect(found(readFileSync(own), keySecrets())).toEqual(['fog-1 in PEM'])
  })

  test.each(['meter-01', 'fog-1-agent', 'cloud'])(
    '%s refuses a key that others can read',
    async (name) => {
      const spec = specOf(cluster, name)
      const shared = join(dir, `${name}-shared.key`)
      reconfigure(spec, (text) => {
        copyFileSync(/key = "(.*)"/.exec(text)?.[1] ?? '', shared)
        return text.replace(/key = ".*"/, `key = "${shared}"`)
      })
      chmodSync(shared, 0o644)
      const { code, stderr } = await fogmeter(spec.program, 'run', '--config', spec.config)
      expect(code).not.toBe(0)
      expect(stderr).toContain('identity/permissions')
      expect(stderr).toContain(`chmod 600 ${shared}`)
    },
  )
})
