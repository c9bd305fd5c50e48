import { connect } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Result } from '../../apps/conformance/verdicts.ts'
import { createLab, pooled } from '../support/conformance-lab.ts'
import { faults } from '../support/faults.ts'
import { startFaultyMeter } from '../support/faulty-meter.ts'
import { greet, rawClient, subscribe, type RawClient } from '../support/raw-mqtt.ts'

/** Mostly they wait; so many at once do it together. */
const AT_ONCE = 12
const LONG_MS = 400_000

let lab: ReturnType<typeof createLab>
let sound: Promise<Result[]>
let broken: Promise<Result[]>[]

beforeAll(() => {
  lab = createLab()
  const [first, ...others] = pooled(AT_ONCE, [{}, ...faults.map(({ fault }) => fault)], (fault) =>
    lab.judge({ start: (url, files) => startFaultyMeter(files, url, fault) }),
  )
  sound = first!
  broken = others
  // Looked at by the tests, in their own time.
  for (const one of [sound, ...broken]) one.catch(() => undefined)
})
afterAll(() => lab.close())

const failing = (results: readonly Result[]) =>
  results.filter(({ result }) => result === 'fail').map(({ id, came }) => `${id}: ${came}`)

test(
  'a sound meter passes everything',
  async () => {
    const results = await sound
    expect(results.filter(({ result }) => result !== 'pass')).toEqual([])
  },
  LONG_MS,
)

test.each(faults.map((fault, index) => ({ ...fault, index })))(
  'a meter that $what is caught by $clause',
  async ({ clause, index, also }) => {
    const failed = failing(await broken[index]!).filter((line) => !line.startsWith(`${also}: `))
    expect(failed).toEqual([expect.stringContaining(`${clause}: `)])
  },
  LONG_MS,
)

const up = (client: RawClient) => `fm/1/fog-1/up/${client.cid}`

describe('MQTT', () => {
  const cases: [string, (client: RawClient) => Promise<unknown>][] = [
    ['mqtt/client-id', (client) => greet(client, { clientId: 'kitchen-meter' })],
    ['mqtt/connect', (client) => greet(client, { clean: false })],
    ['mqtt/keep-alive', (client) => greet(client, { keepalive: 0 })],
    [
      'mqtt/subscribe',
      async (client) => {
        await greet(client)
        await subscribe(client, 'fm/1/fog-1/dn/#')
      },
    ],
    [
      'mqtt/publish',
      async (client) => {
        await greet(client)
        client.publish('fm/1/fog-1/up/another1', 'x')
      },
    ],
    [
      'mqtt/qos',
      async (client) => {
        await greet(client)
        client.publish(up(client), '\xf5', { qos: 2 })
      },
    ],
    [
      'mqtt/no-retain',
      async (client) => {
        await greet(client)
        client.publish(up(client), '\xf5', { retain: true })
      },
    ],
    [
      'size/frame',
      async (client) => {
        await greet(client)
        client.publish(up(client), 'x'.repeat(4_200))
      },
    ],
  ]

  test.each(cases)('%s', async (clause, act) => {
    const results = await lab.judge({
      only: ['mqtt', 'size'],
      waitMs: 2_000,
      start(url) {
        const client = rawClient(connect(Number(new URL(url).port), '127.0.0.1'))
        void act(client)
        return { close: async () => void client.socket.destroy() }
      },
    })
    expect(failing(results)).toEqual([expect.stringContaining(`${clause}: `)])
  })
})
