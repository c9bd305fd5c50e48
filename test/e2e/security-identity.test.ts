/**
 * Who is let in: certificates of brokers, credentials that do not fit, and revocation on both
 * links, with running programs over mqtts. Whatever is refused says what to do.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createResponder, type Identity } from '#channel'
import { decodeCredential, type Role, type Trust } from '#credential'
import { nodeCrypto } from '#crypto-node'
import { createAuthority, enrol, loadIdentity, type EnrolmentPaths } from '#identity'
import { runInitiator, runResponder } from '#mqtt-link'
import { systemClock, systemRandom } from '#service'
import {
  prepareCluster,
  startCluster,
  startOne,
  stopCluster,
  type Cluster,
} from '../../apps/demo/cluster.ts'
import { freePorts } from '../../apps/demo/ports.ts'
import { makeCertificates } from '../support/certificate.ts'
import { startBroker } from '../support/channel-broker.ts'
import { fogmeter } from '../support/fogmeter.ts'
import {
  deliver,
  logOf,
  metric,
  reconfigure,
  specOf,
  until,
  variant,
  type LogLine,
} from '../support/security.ts'

const dir = mkdtempSync(join(tmpdir(), 'fogmeter-identity-'))
const authority = join(dir, 'authority')
const list = join(authority, 'revoked.cose')
/** Where the programs look for it; fog-2 has none and hears of it from the cloud. */
const lists = { 'fog-1-agent': join(dir, 'fog-1.cose'), cloud: join(dir, 'cloud.cose') }
const ca = join(dir, 'ca.pem')
const wrongCa = join(dir, 'wrong.pem')
const accidents: string[] = []
const closing: (() => Promise<void>)[] = []
const now = () => Math.floor(Date.now() / 1000)
let cluster: Cluster
let spare: number[]

beforeAll(async () => {
  const { ca: ours, server } = makeCertificates('brokers')
  writeFileSync(ca, ours)
  writeFileSync(wrongCa, makeCertificates('others').ca)
  writeFileSync(join(dir, 'tls.pem'), server.cert)
  writeFileSync(join(dir, 'tls.key'), server.key, { mode: 0o600 })
  cluster = await prepareCluster({
    dir,
    fogs: 2,
    meters: 4,
    source: 'kind = "replay"\nhouse = {index}\ninterval_seconds = 60\ntime_scale = 300',
    block: 'readings = 4\nseconds = 60',
    window: 'idle_seconds = 3\nrevision_delay_ms = 500',
  })
  spare = await freePorts(4)
  for (const spec of cluster.specs) if (spec.program !== 'cloud') reconfigure(spec, overTls)
  for (const [name, path] of Object.entries(lists)) {
    deliver(list, path)
    const key = `revocations = "${path}"`
    reconfigure(specOf(cluster, name), (text) => text.replace(/(authority = .*)/, `$1\n${key}`))
  }
  await startCluster(cluster, ({ name }, code) => void accidents.push(`${name} ended (${code})`))
})

afterAll(async () => {
  await Promise.all(closing.map((close) => close()))
  await stopCluster(cluster)
  rmSync(dir, { recursive: true, force: true })
})

/** mqtts on every network link; a local socket stays what it is. */
function overTls(text: string): string {
  return text
    .replace('listen = ["mqtt:', 'listen = ["mqtts:')
    .replace('[local]', `[tls]\nkey = "${dir}/tls.key"\ncert = "${dir}/tls.pem"\n[local]`)
    .replace(/url = "mqtt:(.*)"/, `url = "mqtts:$1"\nca = "${ca}"`)
}

const online = (fog: string) => metric(specOf(cluster, `${fog}-agent`), 'agent_meters_online')
const refusedBy = (fog: string, code: string) =>
  metric(specOf(cluster, `${fog}-agent`), 'agent_handshakes_refused_total', code)
const stored = (fog: string) => metric(specOf(cluster, `${fog}-agent`), 'agent_readings_total')
const atCloud = (fog: string) => metric(specOf(cluster, `${fog}-agent`), 'agent_cloud_connected')

/** The first line about a code: our own finding, or the reason the other side gave. */
function lineAbout(name: string, code: string): LogLine | undefined {
  const { lines } = logOf(join(dir, 'log', `${name}.log`))
  return lines.find((line) => line.code === code || line.detail === code)
}

/** The program took over a revocation list. */
function hasHeard(name: string): boolean {
  const { lines } = logOf(join(dir, 'log', `${name}.log`))
  return lines.some(({ msg }) => msg === 'new revocation list')
}

/** A meter program like meter-01, at fog-1, with other settings. */
function startMeter(name: string, change: (text: string) => string, port: number): string {
  const spec = variant(cluster, specOf(cluster, 'meter-01'), name, port, change)
  startOne(cluster, spec, ({ name: who }, code) => void accidents.push(`${who} ended (${code})`))
  return name
}

function withIdentity(paths: EnrolmentPaths): (text: string) => string {
  return (text) =>
    text
      .replace(/key = .*/, `key = "${paths.key}"`)
      .replace(/credential = .*/, `credential = "${paths.credential}"`)
      .replace(/authority = .*/, `authority = "${paths.authority}"`)
}

function identityOf(paths: EnrolmentPaths): Identity {
  const { key, credential, authority: pub } = paths
  const identity = loadIdentity({ key: key ?? '', credential, authority: pub })
  return {
    credential: identity.credential,
    key: nodeCrypto.signingKey(identity.signingSecret),
  }
}

/** A program that asks nothing of the fog node, so that the fog node's own judgement shows. */
const gullible: Trust = {
  check: decodeCredential,
  checkPeer(encoded) {
    const credential = decodeCredential(encoded)
    return { credential, key: nodeCrypto.verifyKey(credential.publicKey) }
  },
}

/** Tries to open a channel to fog-1; resolves with how it ended. */
function knock(own: Identity, change: { node?: string; url?: string } = {}): Promise<LogLine> {
  const url = /url = "(.*)"/.exec(readFileSync(specOf(cluster, 'meter-01').config, 'utf8'))?.[1]
  const { promise, resolve } = Promise.withResolvers<LogLine>()
  const link = runInitiator({
    crypto: nodeCrypto,
    random: systemRandom,
    clock: systemClock,
    trust: gullible,
    own,
    node: 'fog-1',
    peerRole: 'fog',
    url: url ?? '',
    ca,
    log: {
      debug: () => undefined,
      info: () => undefined,
      warn: (data, msg) => resolve({ level: 'warn', msg, ...data }),
    },
    onOpen: () => resolve({ level: 'info', msg: 'open' }),
    onMessage: () => undefined,
    onClosed: () => undefined,
    ...change,
  })
  closing.push(() => link.close())
  return promise
}

function knockAs(from: string, role: Role, name: string, group = 'default'): Promise<LogLine> {
  return knock(identityOf(enrol(from, role, name, { group })))
}

test('readings pass over mqtts on both links', async () => {
  await until(
    'both fog nodes store',
    async () => (await stored('fog-1')) * (await stored('fog-2')) > 0,
  )
  await until(
    'both reach the cloud',
    async () => (await atCloud('fog-1')) + (await atCloud('fog-2')) === 2,
  )
  expect(accidents).toEqual([])
})

test('what a meter program refuses, and what is refused to it, is in its log with what to do', async () => {
  const other = join(dir, 'other-authority')
  createAuthority(other)
  const tenDaysAgo = now() - 10 * 86_400
  const expired = enrol(authority, 'meter', 'meter-old', { days: 1, nowS: tenDaysAgo })
  const grouped = enrol(authority, 'meter', 'meter-grouped', { group: 'elsewhere' })
  const strange = enrol(other, 'meter', 'meter-strange')
  const cases = [
    [
      startMeter('wrong-ca', (text) => text.replace(ca, wrongCa), spare[0] ?? 0),
      'mqtt-link/untrusted-broker',
      /certificate/,
    ],
    [
      startMeter('expired', withIdentity(expired), spare[1] ?? 0),
      'credential/expired',
      /enrol the device again/,
    ],
    [
      startMeter('grouped', withIdentity(grouped), spare[2] ?? 0),
      'credential/wrong-group',
      /same --group/,
    ],
    [
      startMeter('strange', withIdentity(strange), spare[3] ?? 0),
      'credential/untrusted',
      /authority\.pub/,
    ],
  ] as const
  for (const [name, code, advice] of cases) {
    await until(`${name} logs ${code}`, () => lineAbout(name, code) !== undefined)
    expect(lineAbout(name, code)).toMatchObject({
      level: 'warn',
      advice: expect.stringMatching(advice) as string,
    })
  }
  const fog = enrol(authority, 'fog', 'fog-7')
  const posing = variant(cluster, specOf(cluster, 'meter-01'), 'posing', 0, withIdentity(fog))
  const { code, stderr } = await fogmeter('meter', 'run', '--config', posing.config)
  expect(code).not.toBe(0)
  expect(JSON.parse(stderr)).toMatchObject({
    code: 'meter/wrong-role',
    msg: expect.stringContaining('enrol this device with "fogmeter enrol meter NAME"') as string,
  })
})

test('the fog node judges for itself, whatever a device does not check', async () => {
  const other = join(dir, 'second-authority')
  createAuthority(other)
  const answers = await Promise.all([
    knockAs(authority, 'meter', 'guest', 'elsewhere'),
    knockAs(authority, 'fog', 'fog-8'),
    knockAs(other, 'meter', 'meter-03'),
  ])
  expect(answers.map(({ detail }) => detail)).toEqual([
    'credential/wrong-group',
    'credential/wrong-role',
    'credential/untrusted',
  ])
  for (const answer of answers) expect(answer).toMatchObject({ code: 'channel/credential-refused' })
  for (const code of ['wrong-group', 'wrong-role', 'untrusted', 'expired']) {
    expect(await refusedBy('fog-1', `credential/${code}`)).toBeGreaterThan(0)
    const line = lineAbout('fog-1-agent', `credential/${code}`)
    expect(line).toMatchObject({ level: 'warn', msg: 'a handshake was refused' })
    expect(line?.detail).toMatch(/"(guest|fog-8|meter-03|meter-old|meter-strange)"/)
    expect(line?.advice).toMatch(/enrol/)
  }
  // The device the stranger borrowed its name from has noticed nothing.
  expect(await online('fog-1')).toBe(2)
})

test('another node than the one meant: by the broker’s rules, and behind a broker without rules', async () => {
  const own = identityOf(enrol(authority, 'meter', 'lost'))
  const advice = expect.stringMatching(/node name/) as string
  expect(await knock(own, { node: 'fog-9' })).toMatchObject({
    code: 'mqtt-link/not-admitted',
    advice,
  })
  const broker = await startBroker()
  closing.push(() => broker.kill())
  const url = `mqtt://127.0.0.1:${broker.port}`
  const impostor = identityOf(enrol(authority, 'fog', 'fog-9'))
  const common = { crypto: nodeCrypto, random: systemRandom, clock: systemClock, trust: gullible }
  const responder = createResponder({ ...common, own: impostor, peerRole: 'meter', group: null })
  const { promise: up, resolve } = Promise.withResolvers<void>()
  const link = runResponder({
    url,
    node: 'fog-1',
    responder,
    onUp: resolve,
    onMessage: () => undefined,
  })
  closing.unshift(() => link.close())
  await up
  const detail = 'expected to reach fog-1 but fog-9 answered; check the node name'
  expect(await knock(own, { url })).toMatchObject({ code: 'channel/wrong-node', detail, advice })
})

test('revoked meters are out within a minute, at the fog node with the list and at the one without', async () => {
  for (const meter of ['meter-01', 'meter-02']) {
    const { code, stdout } = await fogmeter('revoke', meter, '--authority', authority)
    expect([code, stdout]).toEqual([0, expect.stringContaining(`Revoked "${meter}"`)])
  }
  expect([await online('fog-1'), await online('fog-2')]).toEqual([2, 2])
  for (const path of Object.values(lists)) deliver(list, path)
  const begun = performance.now()
  await until(
    'one meter left at each',
    async () => (await online('fog-1')) + (await online('fog-2')) === 2,
  )
  for (const [fog, meter] of [
    ['fog-1', 'meter-01'],
    ['fog-2', 'meter-02'],
  ] as const) {
    await until(
      `${fog} refuses ${meter}`,
      async () => (await refusedBy(fog, 'credential/revoked')) > 0,
    )
    await until(`${meter} knows`, () => lineAbout(meter, 'credential/revoked') !== undefined)
    expect(lineAbout(meter, 'credential/revoked')?.advice).toMatch(/authority has revoked/)
  }
  for (const meter of ['meter-03', 'meter-04']) {
    await until(`${meter} has heard`, () => hasHeard(meter))
  }
  expect(performance.now() - begun).toBeLessThan(60_000) // the promise of SECURITY.md
  const before = [await stored('fog-1'), await stored('fog-2')]
  await until('the others go on', async () => {
    const after = [await stored('fog-1'), await stored('fog-2')]
    return after.every((count, index) => count > (before[index] ?? 0) + 8)
  })
})

test('a revoked fog node loses the cloud; the other keeps it', async () => {
  const own = lists.cloud
  const { code } = await fogmeter('revoke', 'fog-2', '--authority', authority)
  expect(code).toBe(0)
  deliver(list, own)
  await until('fog-2 is cut off', async () => (await atCloud('fog-2')) === 0)
  await until('and told why', () => lineAbout('fog-2-agent', 'credential/revoked') !== undefined)
  expect(lineAbout('cloud', 'credential/revoked')).toBeDefined()
  expect(await atCloud('fog-1')).toBe(1)
  expect(accidents).toEqual([])
})
