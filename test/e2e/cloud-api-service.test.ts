import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { openCloudStore } from '#cloud-store'
import { cloudConfig, parseConfig } from '#config'
import { checkRevocations, createTrust } from '#credential'
import { nodeCrypto } from '#crypto-node'
import { codeOf } from '#errors'
import { createAuthority, enrol, loadIdentity, revoke } from '#identity'
import type { DeviceIdentity } from '#identity'
import { decodeDown } from '#messages'
import type { Down } from '#messages'
import { runInitiator } from '#mqtt-link'
import { createLogger, systemClock, systemRandom } from '#service'
import { startDrain } from '../../apps/cloud/drain.ts'
import { runCloud } from '../../apps/cloud/run.ts'
import { startBroker } from '../support/channel-broker.ts'
import type { TestBroker } from '../support/channel-broker.ts'
import { quarter } from '../support/cloud-http.ts'
import { hello, items } from '../support/cloud.ts'

let folder = ''
let socket = ''
let broker: TestBroker
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'fogmeter-cloud-'))
  socket = join(folder, 'broker.sock')
  broker = await startBroker({ path: socket })
  createAuthority(join(folder, 'authority'))
})
const ending: (() => unknown)[] = []
afterEach(async () => {
  for (const end of ending.splice(0).toReversed()) await end()
  await broker.kill()
  rmSync(folder, { recursive: true })
})

type Role = 'fog' | 'cloud'

function filesOf(role: Role, name: string) {
  const paths = enrol(join(folder, 'authority'), role, name)
  return { key: paths.key ?? '', credential: paths.credential, authority: paths.authority }
}

function configText(): string {
  const { key, credential, authority } = filesOf('cloud', 'cloud-a')
  return `
    [broker]
    url = "unix://${socket}"
    [identity]
    key = "${key}"
    credential = "${credential}"
    authority = "${authority}"
    revocations = "${join(folder, 'authority', 'revoked.cose')}"
    [store]
    path = "${join(folder, 'cloud.db')}"
    [http]
    listen = "127.0.0.1:0"`
}

const silent = createLogger({ name: 'test', level: 'error' })
silent.level = 'silent'
const nobody = { ready() {}, status() {}, stopping() {}, watchdog() {}, probeMs: 10_000 }

async function startCloud(text: string) {
  const config = parseConfig(cloudConfig, text, join(folder, 'cloud.toml'))
  const cloud = await runCloud({ log: silent, notify: nobody }, config)
  ending.push(() => cloud.stop())
  return cloud
}

/** A fog's uplink that says hello when it is let in and hands over what it hears. */
function connectFog(identity: DeviceIdentity) {
  const heard: Down[] = []
  const waiting = new Set<() => void>()
  const wake = (): void => {
    for (const look of waiting) look()
  }
  const closed: string[] = []
  const link = runInitiator({
    url: `unix://${socket}`,
    node: 'cloud-a',
    crypto: nodeCrypto,
    random: systemRandom,
    clock: systemClock,
    own: { credential: identity.credential, key: nodeCrypto.signingKey(identity.signingSecret) },
    trust: createTrust({
      crypto: nodeCrypto,
      authorityKey: identity.authorityKey,
      now: () => null,
    }),
    peerRole: 'cloud',
    backoff: { firstMs: 20, maxMs: 200 },
    onOpen: (_peer, rekey) => {
      if (!rekey) link.send(hello(1, 9))
    },
    onMessage(payload) {
      heard.push(decodeDown(payload))
      wake()
    },
    onClosed(code) {
      closed.push(code)
      wake()
    },
  })
  ending.push(() => link.close())
  const until = (holds: () => boolean): Promise<void> =>
    new Promise((resolve) => {
      const look = (): void => {
        if (holds() && waiting.delete(look)) resolve()
      }
      waiting.add(look)
      look()
    })
  const hears = (type: Down['type'], durable?: number): Promise<void> =>
    until(() =>
      heard.some(
        (message) =>
          message.type === type &&
          (durable === undefined || ('durable' in message && message.durable === durable)),
      ),
    )
  return { link, heard, closed, hears, until }
}

/** Waits until the service serves its broker; the test's own time limit bounds it. */
async function healthy(url: string): Promise<void> {
  while (!(await fetch(`${url}/healthz`)).ok) await setImmediate()
}

describe('the cloud service', () => {
  test('from a fog’s sealed items to an answer over HTTP; a restart forgets nothing', async () => {
    const text = configText()
    const first = await startCloud(text)
    const fog = connectFog(loadIdentity(filesOf('fog', 'fog-1')))
    await fog.hears('welcome', 0)
    await fog.hears('revocations')
    fog.link.send(items(1, [quarter(0), quarter(1)]))
    await fog.hears('receipt', 2)
    const answer = await fetch(`${first.url}/summary`)
    expect(await answer.json()).toMatchObject({ total_packets: 2, avg_power_overall: 0.5 })
    await healthy(first.url)
    const metrics = await (await fetch(`${first.url}/metrics`)).text()
    expect(metrics).toMatch(/^fogmeter_cloud_items_total\{type="summary"\} 2$/m)
    expect(metrics).toMatch(/^fogmeter_cloud_open_fogs 1$/m)
    await first.stop()

    const second = await startCloud(text)
    await healthy(second.url)
    // The broker stayed, so the fog only learns from an answer that its session is gone.
    fog.link.send(items(3, [quarter(2)]))
    await fog.hears('welcome', 2)
    fog.link.send(items(2, [quarter(1), quarter(2)]))
    await fog.hears('receipt', 3)
    const again = await fetch(`${second.url}/api/v1/fogs`)
    expect(await again.json()).toMatchObject({ items: [{ fog: 'fog-1', summaries: 3 }] })
  })

  test('the configured number of requests a minute is answered, the next one is not', async () => {
    const { url } = await startCloud(`${configText()}\n    requests_per_minute = 3`)
    const ask = async () => (await fetch(`${url}/summary`)).status
    expect([await ask(), await ask(), await ask(), await ask()]).toEqual([200, 200, 200, 429])
  })

  test('a meter is not let in, and neither is a fog of another authority', async () => {
    await startCloud(configText())
    createAuthority(join(folder, 'other'))
    const { key, credential, authority } = enrol(join(folder, 'other'), 'fog', 'fog-1')
    const stranger = connectFog(loadIdentity({ key: key ?? '', credential, authority }))
    const paths = enrol(join(folder, 'authority'), 'meter', 'kitchen')
    const meter = connectFog(loadIdentity({ ...paths, key: paths.key ?? '' }))
    await stranger.until(() => stranger.closed.length > 0)
    await meter.until(() => meter.closed.length > 0)
    expect([...stranger.heard, ...meter.heard]).toEqual([])
  })

  test.each([
    ['http.listen', 'the address of another program', 'http/cannot-listen'],
    ['store.path', 'a folder that is not there', 'sqlite/cannot-open'],
  ])('a wrong %s (%s) ends the start and leaves nothing running', async (key, _what, code) => {
    const text = configText()
    const running = await startCloud(text)
    await healthy(running.url)
    const { host } = new URL(running.url)
    const broken =
      key === 'http.listen'
        ? text.replace('127.0.0.1:0', host).replace('cloud.db', 'another.db')
        : text.replace('cloud.db', 'nowhere/cloud.db')
    const outcome = await startCloud(broken).then(
      () => 'started',
      (error: unknown) => codeOf(error),
    )
    expect(outcome).toBe(code)
    while (broker.aedes.connectedClients !== 1) await setImmediate()
    await healthy(running.url)
  })

  test('a fog that is revoked loses its session at once; the others get the list', async () => {
    const identity = loadIdentity(filesOf('cloud', 'cloud-a'))
    const { store, database } = openCloudStore(join(folder, 'cloud.db'))
    ending.push(() => database.close())
    const drain = startDrain({
      identity,
      store,
      clock: systemClock,
      random: systemRandom,
      log: silent,
      broker: { url: `unix://${socket}` },
      revocations: null,
    })
    ending.push(() => drain.close())
    const good = connectFog(loadIdentity(filesOf('fog', 'fog-good')))
    const bad = connectFog(loadIdentity(filesOf('fog', 'fog-bad')))
    await good.hears('welcome')
    await bad.hears('welcome')
    const { revocations } = revoke(join(folder, 'authority'), 'fog-bad')
    const bytes = new Uint8Array(readFileSync(revocations))
    drain.setRevocations(checkRevocations(nodeCrypto, identity.authorityKey, bytes))
    expect(drain.cloud.openFogs()).toEqual(['fog-good'])
    await good.hears('revocations')
    expect(good.heard.at(-1)).toEqual({ type: 'revocations', list: bytes })
    // It still believes in its session, sends, and is told that there is none.
    bad.link.send(items(1, [quarter(0)]))
    await bad.until(() => bad.closed.length > 0)
    expect(drain.cloud.counters().items).toEqual({})
  })
})
