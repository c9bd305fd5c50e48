import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parse } from 'smol-toml'
import { describe, expect, test, vi } from 'vitest'
import {
  agentConfig,
  allKeys,
  brokerConfig,
  cloudConfig,
  expandMeters,
  loadConfig,
  meterConfig,
  nodeConfig,
  parseConfig,
  type TableSchema,
} from '#config'
import { defaults } from '#defaults'
import { codeOf } from '#errors'

const schemas: Record<string, TableSchema> = {
  meter: meterConfig,
  broker: brokerConfig,
  agent: agentConfig,
  cloud: cloudConfig,
  node: nodeConfig,
}

const minimalMeter = `
node = "fog-1"
broker.url = "mqtt://127.0.0.1"
identity = { key = "{name}.key", credential = "{name}.cwt", authority = "authority.pub" }
store.path = "{name}.db"
source.kind = "sim"
`

const minimalBroker = `
node = "fog-1"
listen = ["mqtt://0.0.0.0", "mqtts://[::1]:0"]
local.socket = "broker.sock"
tls = { key = "broker.key", cert = "broker.crt" }
`

function examplePath(name: string): string {
  return fileURLToPath(new URL(`../../deploy/examples/${name}.toml`, import.meta.url))
}

function thrownBy(work: () => unknown): unknown {
  try {
    work()
  } catch (error) {
    return error
  }
  throw new Error('nothing was thrown')
}

/** The lines of the message of a refused configuration, without the file name. */
function problems(schema: TableSchema, text: string): string[] {
  const error = thrownBy(() => parseConfig(schema, text, 'x.toml'))
  expect(codeOf(error)).toBe('config/invalid')
  const lines = (error as Error).message.split('\n')
  expect(lines.every((line) => line.startsWith('x.toml: '))).toBe(true)
  return lines.map((line) => line.slice('x.toml: '.length))
}

describe.each(Object.entries(schemas))('deploy/examples/%s.toml', (name, schema) => {
  const text = readFileSync(examplePath(name), 'utf8')

  test('loads', () => {
    expect(() => loadConfig(schema, examplePath(name))).not.toThrow()
  })

  test('shows every key, each below a comment of its own or shared with its neighbours', () => {
    // Optional keys stand there commented out: "# ca = …", under "# [table]".
    const uncommented = text.replace(/^# (\[+[a-z.]+\]+|[a-z_]+ = .*)$/gm, '$1')
    const shown = new Set(leafKeys(parse(uncommented)))
    expect(allKeys(schema).filter((key) => !shown.has(key))).toEqual([])
    for (const paragraph of text.split('\n\n')) expect(paragraph).toContain('#')
  })
})

test('the examples state the defaults as they are', () => {
  const example = loadConfig(brokerConfig, examplePath('broker'))
  expect(example.limits).toEqual(parseConfig(brokerConfig, minimalBroker, '/x').limits)
  const agent = loadConfig(agentConfig, examplePath('agent'))
  const plain = parseConfig(agentConfig, agentText(), '/x')
  for (const table of ['window', 'commit', 'time', 'verify', 'log'] as const)
    expect(agent[table]).toEqual(plain[table])
  const meter = loadConfig(meterConfig, examplePath('meter'))
  const plainMeter = parseConfig(meterConfig, minimalMeter, '/x')
  for (const table of ['block', 'clock'] as const) expect(meter[table]).toEqual(plainMeter[table])
})

function leafKeys(value: unknown): string[] {
  if (Array.isArray(value)) return typeof value[0] === 'object' ? value.flatMap(leafKeys) : []
  return Object.entries(value as object).flatMap(([key, child]) => {
    if (typeof child !== 'object' || (Array.isArray(child) && typeof child[0] !== 'object'))
      return [key]
    return leafKeys(child).map((rest) => `${key}.${rest}`)
  })
}

const withStart = (start: string) => `${minimalMeter}source.start = "${start}"`

describe('values', () => {
  test('defaults come from #defaults, keys come out in camelCase', () => {
    const config = parseConfig(meterConfig, minimalMeter, '/etc/fogmeter/meter.toml')
    expect(config.block.readings).toBe(defaults.block.maxReadings)
    expect(config.block.boundarySeconds).toBe(defaults.block.boundarySeconds)
    expect(config.broker.keepaliveSeconds).toBe(60)
    expect(config.report.mode).toBe('live')
    expect(config.metrics.listen).toBeNull()
    const broker = parseConfig(brokerConfig, minimalBroker, '/etc/x.toml')
    expect(broker.limits.packetBytes).toBe(defaults.broker.packetBytes)
    const window = parseConfig(agentConfig, agentText(), '/etc/x.toml').window
    expect(window.seconds).toBe(defaults.window.seconds)
  })

  test('credential:NAME is what systemd hands over, and stays as written where it does not', () => {
    const text = minimalMeter.replace('{name}.key', 'credential:meter.key')
    const keyPath = () => parseConfig(meterConfig, text, '/etc/x.toml').identity.key
    expect(keyPath()).toBe('credential:meter.key')
    vi.stubEnv('CREDENTIALS_DIRECTORY', '/run/credentials/x.service')
    expect(keyPath()).toBe('/run/credentials/x.service/meter.key')
    vi.unstubAllEnvs()
    for (const name of ['', '.', '..', '../x', '/etc/shadow', 'a/b', '.hidden']) {
      const [problem] = problems(meterConfig, text.replace('meter.key', name))
      expect(problem).toContain('"credential:NAME"')
    }
  })

  test('relative paths start at the file, absolute ones stay', () => {
    const config = parseConfig(meterConfig, minimalMeter, '/etc/fogmeter/meter.toml')
    expect(config.identity.key).toBe('/etc/fogmeter/{name}.key')
    const absolute = minimalBroker.replace('broker.sock', '/run/b.sock')
    expect(parseConfig(brokerConfig, absolute, '/etc/x.toml').local.socket).toBe('/run/b.sock')
  })

  test.each([
    ['unix:run/b.sock', 'unix:///etc/run/b.sock'],
    ['unix:///run/b.sock', 'unix:///run/b.sock'],
    ['mqtts://fog.local:8883', 'mqtts://fog.local:8883'],
  ])('broker.url %s', (written, seen) => {
    expect(parseConfig(agentConfig, agentText(written), '/etc/agent.toml').broker.url).toBe(seen)
  })

  test('a meter may look for its fog node; nobody else looks for anybody', () => {
    for (const url of ['mdns:', 'mdns:any']) {
      const text = minimalMeter.replace('mqtt://127.0.0.1', url)
      expect(parseConfig(meterConfig, text, '/etc/meter.toml').broker.url).toBe(url)
      expect(problems(agentConfig, agentText(url))[0]).toContain('broker.url')
    }
    const [problem] = problems(meterConfig, minimalMeter.replace('mqtt://127.0.0.1', 'mdns:fog-1'))
    expect(problem).toContain('expected mdns:, mdns:any, mqtt://host:port')
  })

  test('listeners carry host, port and whether they speak TLS', () => {
    expect(parseConfig(brokerConfig, minimalBroker, '/x.toml').listen).toEqual([
      { tls: false, host: '0.0.0.0', port: 1883 },
      { tls: true, host: '::1', port: 0 },
    ])
  })

  test('a start time is seconds, now is null', () => {
    const now = parseConfig(meterConfig, withStart('now'), '/x.toml')
    expect(now.source).toMatchObject({ start: null })
    const march = parseConfig(meterConfig, withStart('2026-03-01T00:00:00Z'), '/x.toml')
    expect(march.source).toMatchObject({ start: Date.UTC(2026, 2, 1) / 1000 })
    const never = () => parseConfig(meterConfig, withStart('2026-02-29T00:00:00Z'), '/x.toml')
    expect(never).toThrow('source.start')
  })
})

function agentText(url = 'unix:///run/b.sock'): string {
  return `broker.url = "${url}"
identity = { key = "f.key", credential = "f.cwt", authority = "authority.pub" }
store.path = "fog.db"`
}

describe('problems', () => {
  test('all at once, one line each, with what was found and how to write it', () => {
    const text = minimalMeter.replace('node = "fog-1"', 'node = "fog 1"')
    const lines = problems(
      meterConfig,
      `${text}block.readings = 99\nreport.mod = "live"\n[metrics]\nlisten = "9101"`,
    )
    expect(lines).toHaveLength(4)
    expect(lines.find((line) => line.startsWith('block.readings'))).toBe(
      'block.readings: found 99, expected an integer from 1 to 64; write readings = 16',
    )
    expect(lines.find((line) => line.startsWith('report.mod'))).toContain('write mode')
    expect(lines.find((line) => line.startsWith('metrics.listen'))).toContain('host:port or "off"')
    expect(lines.find((line) => line.startsWith('node'))).toContain('found "fog 1"')
  })

  test('no secret is shown, of a Wi-Fi network or inside an address', () => {
    const text = `
      enrolment.url = "https://operator:hunter2@cloud.example"
      cloud = [{ node = "cloud-a", url = "mqtts://operator:hunter2@cloud.example" }]
      wifi = { ssid = "home", psk = "hunter2 hunter2" }`
    let message = ''
    try {
      parseConfig(nodeConfig, text, 'node.toml')
    } catch (error) {
      message = (error as Error).message
    }
    expect(message).toContain('https://…@cloud.example')
    expect(message).toContain('wifi.psk: found something else')
    expect(message).not.toContain('hunter2')
  })

  test('every key that does not exist, not only the first of a table', () => {
    const lines = problems(meterConfig, `${minimalMeter}source.file = "x"\nsource.loop = true`)
    expect(lines.map((line) => line.split(':')[0])).toEqual(['source.file', 'source.loop'])
  })

  test.each<[string, TableSchema, string, string]>([
    [
      'missing key',
      brokerConfig,
      'local.socket = "x"\nlisten = ["mqtt://h"]',
      'node: found nothing',
    ],
    ['missing table', brokerConfig, 'node = "a"\nlisten = ["mqtt://h"]', 'add a section [local]'],
    ['table for a value', brokerConfig, `${minimalBroker}[log.level]\nx = 1`, 'found a table'],
    ['value for a table', brokerConfig, `log = 3\n${minimalBroker}`, 'expected a table'],
    ['value for a list', brokerConfig, 'node="a"\nlocal.socket="b"\nlisten="mqtt://h"', 'a list'],
    ['mqtts, no tls', brokerConfig, minimalBroker.replace(/tls = .*/, ''), 'add a section [tls]'],
    ['wrong scheme', brokerConfig, minimalBroker.replace('mqtts', 'http'), 'listen.1: found "http'],
    ['port too big', brokerConfig, minimalBroker.replace(':0"', ':70000"'), 'expected mqtt://'],
    ['unknown kind', meterConfig, minimalMeter.replace('"sim"', '"usb"'), '"sim", "replay", "csv"'],
    [
      'key of another kind',
      meterConfig,
      `${minimalMeter}source.file = "x"`,
      'source.file: found a',
    ],
    ['in a list of tables', agentConfig, `${agentText()}\n[[cloud]]\nnode = "c"`, 'cloud.0.url'],
    [
      'fraction',
      meterConfig,
      `${minimalMeter}block.seconds = 1.5`,
      'found 1.5, expected an integer',
    ],
    ['not TOML', meterConfig, 'node = fog', 'line 1, column'],
    [
      'prototype name',
      meterConfig,
      `${minimalMeter}\n[constructor]\nx = 1`,
      'constructor: found a',
    ],
  ])('%s', (_, schema, text, expected) => {
    expect(problems(schema, text).join('\n')).toContain(expected)
  })

  test('a file that is not there', () => {
    const error = thrownBy(() => loadConfig(meterConfig, '/nonexistent/meter.toml'))
    expect(codeOf(error)).toBe('config/unreadable')
  })
})

function fleetOf(text: string) {
  return expandMeters(parseConfig(meterConfig, text, '/m.toml'), '/m.toml')
}

describe('fleet', () => {
  test('one meter without it', () => {
    expect(fleetOf(minimalMeter)).toEqual([
      {
        name: 'meter',
        index: 0,
        identity: { key: '/meter.key', credential: '/meter.cwt', authority: '/authority.pub' },
        store: { path: '/meter.db' },
      },
    ])
  })

  test('each with its own name and files', () => {
    const meters = fleetOf(
      `${minimalMeter}[fleet]\ncount = 3\nname_prefix = "m-"\nfirst = 9\ndigits = 2`,
    )
    expect(meters.map((meter) => meter.name)).toEqual(['m-09', 'm-10', 'm-11'])
    expect(new Set(meters.map((meter) => meter.store.path)).size).toBe(3)
    expect(meters.map((meter) => meter.index)).toEqual([0, 1, 2])
  })

  test('refuses several meters with one key', () => {
    const text = minimalMeter.replace('key = "{name}.key"', 'key = "meters.key"')
    expect(() => fleetOf(`${text}[fleet]\ncount = 2`)).toThrow(
      /identity\.key.*put \{name\} into the path/,
    )
    expect(() => fleetOf(`${text}[fleet]\ncount = 1`)).not.toThrow()
  })

  test('may share a store', () => {
    const text = minimalMeter.replace('store.path = "{name}.db"', 'store.path = "meters.db"')
    const meters = fleetOf(`${text}[fleet]\ncount = 2`)
    expect(meters.map((meter) => meter.store.path)).toEqual(['/meters.db', '/meters.db'])
    expect(meters.map((meter) => meter.identity.key)).toEqual([
      '/meter-0001.key',
      '/meter-0002.key',
    ])
  })
})
