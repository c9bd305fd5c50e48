import { execFile } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { enrol } from '#identity'
import { startFogNode, type FogNode } from '../support/fog-node.ts'

const cli = join(import.meta.dirname, '../../apps/cli/fogmeter.mjs')

interface Event {
  event: string
  [name: string]: unknown
}

let node: FogNode
let config: string

beforeAll(async () => {
  node = await startFogNode()
  await node.startAgent()
  const { key, credential, authority } = enrol(node.authority, 'meter', 'chip-1')
  config = join(node.folder, 'chip.toml')
  writeFileSync(
    config,
    [
      'node = "fog-1"\nname = "chip-1"',
      `[broker]\nurl = "mqtt://127.0.0.1:${node.port}"`,
      `[identity]\nkey = "${key}"\ncredential = "${credential}"\nauthority = "${authority}"`,
      '[store]\npath = "chip.db"\n[source]\nkind = "sim"\nseed = 7',
    ].join('\n'),
  )
})

afterAll(() => node.close())

function emulate(...flags: string[]) {
  return new Promise<{ code: number; events: Event[]; errors: string }>((resolve) => {
    const args = [cli, 'meter', 'emulate', '--config', config, '--json', ...flags]
    const child = execFile(process.execPath, args, (_error, stdout, errors) => {
      const events = stdout
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => JSON.parse(line) as Event)
      resolve({ code: child.exitCode ?? -1, events, errors })
    })
  })
}

test('an emulated ESP32 delivers its readings to a real fog node, over brown-outs', async () => {
  const { code, events, errors } = await emulate(
    '--profile',
    'esp32',
    '--readings',
    '18',
    '--time-scale',
    '2000',
    '--brown-outs',
    '300',
  )
  expect(errors).toContain('520 KiB')
  expect(code).toBe(0)
  const named = (name: string) => events.filter(({ event }) => event === name)
  expect(named('out-of-memory')).toEqual([])
  expect(named('crashed')).toEqual([])
  expect(named('finished')).toHaveLength(1)
  // Of a handshake, a reading and a day it says what they cost.
  expect(named('session')[0]).toMatchObject({
    radioMs: expect.any(Number) as number,
    mJ: expect.any(Number) as number,
  })
  const shown = named('reading').map(({ importWh }) => importWh)
  const held = node
    .journal()
    .flatMap(({ block }) => block.readings)
    .toSorted((a, b) => a.number - b.number)
  expect(held.map(({ importWh }) => importWh)).toEqual(shown)
  expect(new Set(held.map(({ number }) => number)).size).toBe(shown.length)
  expect(events.at(-1)).toMatchObject({ readings: 18, delivered: true })
}, 300_000)

test('a chip that is too small says so and how to go on', async () => {
  const { code, events, errors } = await emulate(
    '--profile',
    'esp8266',
    '--readings',
    '2',
    '--time-scale',
    '2000',
    '--flash',
    join(node.folder, 'small.flash'),
  )
  expect(code).toBe(1)
  expect(new Set(events.slice(0, -1).map(({ event }) => event))).toEqual(
    new Set(['power-on', 'out-of-memory', 'gave-up']),
  )
  expect(errors).toContain('too little')
  expect(errors).toContain('--memory')
}, 120_000)
