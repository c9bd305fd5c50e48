import * as v from 'valibot'
import { defaults } from '#defaults'
import type { Settled } from './camel.ts'
import {
  address,
  addressOrOff,
  brokerUrl,
  deviceName,
  flag,
  fogUrl,
  httpUrl,
  integer,
  listener,
  matching,
  oneOf,
  meterPort,
  modbusPort,
  path,
  secretMatching,
  serialLine,
  startTime,
  text,
  topic,
} from './leaf.ts'

/** What each program can be told. deploy/examples/ explains every key to the person who sets it. */

const DAY_S = 86_400
const HOUR_MS = 3_600_000

const log = v.optional(
  v.strictObject({ level: v.optional(oneOf('info', 'debug', 'warn', 'error'), 'info') }),
  {},
)

function metrics(example: string) {
  const listen = v.optional(addressOrOff(example), 'off')
  return v.optional(v.strictObject({ listen }), {})
}

function identityKeys(key: string, credential: string) {
  return { key: path(key), credential: path(credential), authority: path('authority.pub') }
}

const password = {
  username: v.optional(text('the user name the broker asks for', 'fogmeter')),
  password_file: v.optional(path('broker.password')),
}

const remoteBroker = {
  url: brokerUrl('mqtts://fog-1.local:8883'),
  ca: v.optional(path('ca.pem')),
  ...password,
}

const sourceTime = {
  interval_seconds: v.optional(integer(1, 3_600, 60), 60),
  time_scale: v.optional(integer(1, 100_000, 1), 1),
}

/** A meter's own port: at most one reading in this time, whatever its rhythm. */
const portRhythm = { interval_seconds: v.optional(integer(0, 3_600, 10), 10) }

const p1Source = v.strictObject({
  kind: v.literal('p1'),
  port: meterPort('/dev/ttyUSB0'),
  serial: v.optional(serialLine('115200 8N1'), '115200 8N1'),
  utc_offset_minutes: v.optional(integer(-720, 840, 60), 60),
  key_file: v.optional(path('p1.key')),
  ...portRhythm,
})

const smlSource = v.strictObject({
  kind: v.literal('sml'),
  port: meterPort('/dev/ttyUSB0'),
  serial: v.optional(serialLine('9600 8N1'), '9600 8N1'),
  ...portRhythm,
})

/** What a row of a table says, and the units it can be in. */
const mapped = oneOf(
  'power',
  'import_power',
  'export_power',
  'import',
  'export',
  'voltage',
  'current',
)
const plainUnits = ['W', 'kW', 'Wh', 'kWh', 'V', 'A', 'mA'] as const

/** Registers that are asked for: of a kind of meter known here, or of a table. */
const modbusSource = v.strictObject({
  kind: v.literal('modbus'),
  port: modbusPort('tcp://192.168.1.20:502'),
  unit: v.optional(integer(0, 255, 1), 1),
  serial: v.optional(serialLine('9600 8N1'), '9600 8N1'),
  profile: v.optional(oneOf('sunspec', 'sdm120', 'sdm630')),
  positive: v.optional(oneOf('import', 'export'), 'import'),
  map: v.optional(
    v.array(
      v.strictObject({
        register: integer(0, 65_535, 52),
        table: v.optional(oneOf('input', 'holding'), 'input'),
        type: oneOf('float32', 'int16', 'uint16', 'int32', 'uint32', 'int64', 'uint64'),
        first: v.optional(oneOf('high', 'low'), 'high'),
        scale: v.optional(integer(-10, 10, -1), 0),
        scale_register: v.optional(integer(0, 65_535, 22)),
        value: mapped,
        unit: oneOf(...plainUnits),
      }),
    ),
    [],
  ),
  interval_seconds: v.optional(integer(1, 3_600, 10), 10),
})

/** What other gadgets publish already; `field` leads into JSON, without it the payload is the value. */
const mqttSource = v.strictObject({
  kind: v.literal('mqtt'),
  ...remoteBroker,
  map: v.pipe(
    v.array(
      v.strictObject({
        topic: topic('tele/plug/SENSOR'),
        field: v.optional(text('keys into the JSON, with dots between', 'ENERGY.Power')),
        value: mapped,
        unit: oneOf(...plainUnits, 'Wmin'),
      }),
    ),
    v.minLength(1),
  ),
  ...portRhythm,
})

/** Homes that do not exist; in a fleet each meter has one of its own. */
const modelTime = {
  start: v.optional(startTime('now'), 'now'),
  jitter_seconds: v.optional(integer(0, 3_600, 5), 0),
  ...sourceTime,
}

const simSource = v.strictObject({
  kind: v.literal('sim'),
  seed: v.optional(integer(0, 2 ** 31 - 1, 1), 1),
  latitude: v.optional(integer(-90, 90, 52), 52),
  solar_peak_w: v.optional(integer(0, 100_000, 0), 0),
  solar_percent: v.optional(integer(0, 100, 30), 100),
  heat_pump_percent: v.optional(integer(0, 100, 20), 0),
  car_percent: v.optional(integer(0, 100, 20), 0),
  ...modelTime,
})

const replaySource = v.strictObject({
  kind: v.literal('replay'),
  house: v.optional(integer(0, 2 ** 31 - 1, 0), 0),
  ...modelTime,
})

export const source = v.variant('kind', [
  simSource,
  replaySource,
  v.strictObject({
    kind: v.literal('csv'),
    file: path('readings.csv'),
    loop: v.optional(flag(false), false),
    ...sourceTime,
  }),
  v.strictObject({ kind: v.literal('stdin') }),
  p1Source,
  smlSource,
  modbusSource,
  mqttSource,
])

/** apps/meter: one meter, or a fleet of alike ones in one process. */
export const meterConfig = v.strictObject({
  node: deviceName('fog-1'),
  name: v.optional(deviceName('meter')),
  broker: v.strictObject({
    ...remoteBroker,
    url: fogUrl('mqtts://fog-1.local:8883'),
    keepalive_seconds: v.optional(integer(5, defaults.broker.keepaliveMaxSeconds, 60), 60),
  }),
  identity: v.strictObject(identityKeys('{name}.key', '{name}.cwt')),
  store: v.strictObject({
    path: path('{name}.db'),
    max_blocks: v.optional(
      integer(1, 10_000_000, defaults.outbox.meterBlocks),
      defaults.outbox.meterBlocks,
    ),
    max_statements: v.optional(
      integer(0, 100_000_000, defaults.outbox.meterStatements),
      defaults.outbox.meterStatements,
    ),
  }),
  source,
  report: v.optional(v.strictObject({ mode: v.optional(oneOf('live', 'block'), 'live') }), {}),
  block: v.optional(
    v.strictObject({
      readings: v.optional(
        integer(1, defaults.block.hardMaxReadings, defaults.block.maxReadings),
        defaults.block.maxReadings,
      ),
      seconds: v.optional(integer(1, DAY_S, defaults.block.maxSeconds), defaults.block.maxSeconds),
      boundary_seconds: v.optional(
        integer(1, DAY_S, defaults.block.boundarySeconds),
        defaults.block.boundarySeconds,
      ),
      max_gap_seconds: v.optional(integer(1, DAY_S, 900), 900),
      rollover_wh: v.optional(integer(0, Number.MAX_SAFE_INTEGER, 0), 0),
      max_power_w: v.optional(integer(1, 1_000_000_000, 100_000), 100_000),
    }),
    {},
  ),
  clock: v.optional(v.strictObject({ ask_timesyncd: v.optional(flag(true), true) }), {}),
  fleet: v.optional(
    v.strictObject({
      count: v.optional(integer(1, 100_000, 10), 1),
      name_prefix: v.optional(deviceName('meter-'), 'meter-'),
      first: v.optional(integer(0, 99_999_999, 1), 1),
      digits: v.optional(integer(1, 8, 4), 4),
    }),
  ),
  metrics: metrics('127.0.0.1:9104'),
  log,
})

/** apps/broker, on the fog node and in the cloud. */
export const brokerConfig = v.pipe(
  v.strictObject({
    node: deviceName('fog-1'),
    listen: v.pipe(v.array(listener('mqtt://0.0.0.0:1883')), v.minLength(1)),
    tls: v.optional(v.strictObject({ key: path('broker.key'), cert: path('broker.crt') })),
    local: v.strictObject({ socket: path('/run/fogmeter/broker.sock') }),
    discovery: v.optional(v.strictObject({ mdns: v.optional(flag(false), false) }), {}),
    limits: v.optional(
      v.strictObject({
        connections: v.optional(integer(1, 1_000_000, 10_000), 10_000),
        connections_per_address: v.optional(
          integer(1, 1_000_000, defaults.broker.connectionsPerAddress),
          defaults.broker.connectionsPerAddress,
        ),
        connect_bytes: v.optional(
          integer(32, 65_536, defaults.broker.connectBytes),
          defaults.broker.connectBytes,
        ),
        packet_bytes: v.optional(
          integer(512, 1_048_576, defaults.broker.packetBytes),
          defaults.broker.packetBytes,
        ),
        connect_timeout_ms: v.optional(
          integer(100, 60_000, defaults.broker.connectTimeoutMs),
          defaults.broker.connectTimeoutMs,
        ),
        admit_timeout_ms: v.optional(
          integer(100, 600_000, defaults.broker.admitTimeoutMs),
          defaults.broker.admitTimeoutMs,
        ),
        keepalive_max_seconds: v.optional(
          integer(5, 65_535, defaults.broker.keepaliveMaxSeconds),
          defaults.broker.keepaliveMaxSeconds,
        ),
        drain_timeout_ms: v.optional(
          integer(100, 60_000, defaults.broker.drainTimeoutMs),
          defaults.broker.drainTimeoutMs,
        ),
        packets_per_second: v.optional(
          integer(1, 1_000_000, defaults.broker.packetsPerSecond),
          defaults.broker.packetsPerSecond,
        ),
        bytes_per_second: v.optional(
          integer(1_024, 1_000_000_000, defaults.broker.bytesPerSecond),
          defaults.broker.bytesPerSecond,
        ),
      }),
      {},
    ),
    metrics: metrics('127.0.0.1:9101'),
    log,
  }),
  v.forward(
    v.partialCheck(
      [['listen'], ['tls']],
      ({ listen, tls }) => tls !== undefined || listen.every((one) => !one.tls),
      'a mqtts listener needs a certificate',
    ),
    ['tls'],
  ),
)

/** apps/agent: the fog node's keeper of keys and readings. */
export const agentConfig = v.strictObject({
  broker: v.strictObject({ url: brokerUrl('unix:///run/fogmeter/broker.sock') }),
  identity: v.strictObject({
    ...identityKeys('fog-1.key', 'fog-1.cwt'),
    revocations: v.optional(path('revoked.cose')),
  }),
  store: v.strictObject({
    path: path('fog.db'),
    retention_days: v.optional(integer(1, 3_650, defaults.retentionDays), defaults.retentionDays),
    max_outbox_items: v.optional(
      integer(10, 100_000_000, defaults.outbox.fogItems),
      defaults.outbox.fogItems,
    ),
  }),
  window: v.optional(
    v.strictObject({
      seconds: v.optional(integer(1, DAY_S, defaults.window.seconds), defaults.window.seconds),
      grace_seconds: v.optional(
        integer(0, DAY_S, defaults.window.graceSeconds),
        defaults.window.graceSeconds,
      ),
      idle_seconds: v.optional(
        integer(1, DAY_S, defaults.window.idleSeconds),
        defaults.window.idleSeconds,
      ),
      min_meters: v.optional(
        integer(1, 100_000, defaults.window.minMeters),
        defaults.window.minMeters,
      ),
      revision_delay_ms: v.optional(
        integer(0, HOUR_MS, defaults.window.revisionDelayMs),
        defaults.window.revisionDelayMs,
      ),
    }),
    {},
  ),
  commit: v.optional(
    v.strictObject({
      interval_ms: v.optional(
        integer(1, 10_000, defaults.commit.intervalMs),
        defaults.commit.intervalMs,
      ),
      max_blocks: v.optional(
        integer(1, 65_536, defaults.commit.maxBlocks),
        defaults.commit.maxBlocks,
      ),
    }),
    {},
  ),
  time: v.optional(
    v.strictObject({
      wait_seconds: v.optional(
        integer(0, 30 * DAY_S, defaults.time.maxWaitMs / 1_000),
        defaults.time.maxWaitMs / 1_000,
      ),
      silence_intervals: v.optional(
        integer(2, 10_000, defaults.time.silenceIntervals),
        defaults.time.silenceIntervals,
      ),
    }),
    {},
  ),
  verify: v.optional(v.strictObject({ workers: v.optional(integer(0, 64, 2), 2) }), {}),
  cloud: v.optional(v.array(v.strictObject({ node: deviceName('cloud-a'), ...remoteBroker })), []),
  metrics: metrics('127.0.0.1:9102'),
  log,
})

/** apps/cloud: the cloud service. */
export const cloudConfig = v.strictObject({
  broker: v.strictObject({
    ...remoteBroker,
    url: brokerUrl('unix:///run/fogmeter/cloud-broker.sock'),
  }),
  identity: v.strictObject({
    ...identityKeys('cloud-a.key', 'cloud-a.cwt'),
    revocations: v.optional(path('revoked.cose')),
  }),
  store: v.strictObject({ path: path('cloud.db') }),
  http: v.optional(
    v.strictObject({
      listen: v.optional(address('127.0.0.1:8080'), '127.0.0.1:8080'),
      // The HTTP side insists on it for every address but loopback.
      token_file: v.optional(path('api.token')),
      requests_per_minute: v.optional(
        integer(1, 1_000_000, defaults.http.requestsPerMinute),
        defaults.http.requestsPerMinute,
      ),
    }),
    {},
  ),
  enrolment: v.optional(v.strictObject({ authority: v.optional(path('authority')) })),
  metrics: metrics('127.0.0.1:9103'),
  log,
})

/** node.toml on a Pi's boot partition: all that differs from one fog node to the next. */
export const nodeConfig = v.strictObject({
  fog: v.optional(v.strictObject({ name: v.optional(deviceName('FN-01')) }), {}),
  cloud: v.pipe(
    v.array(
      v.strictObject({
        node: deviceName('cloud-a'),
        url: brokerUrl('mqtts://cloud.example:8883'),
        ca: v.optional(path('cloud-ca.pem')),
      }),
    ),
    v.minLength(1),
  ),
  enrolment: v.strictObject({
    url: httpUrl('https://cloud.example'),
    ca: v.optional(path('api-ca.pem')),
  }),
  wifi: v.optional(
    v.strictObject({
      ssid: matching(/^[^\p{Cc}]{1,32}$/u, 'a network name of 1 to 32 characters', 'home'),
      psk: secretMatching(/^[0-9a-f]{64}$/, '64 hexadecimal digits, as wpa_passphrase prints them'),
      country: v.optional(matching(/^[A-Z]{2}$/, 'two capital letters', 'DE')),
    }),
  ),
  discovery: v.optional(v.strictObject({ mdns: v.optional(flag(true), true) }), {}),
  system: v.optional(
    v.strictObject({
      time_zone: v.optional(
        matching(/^[A-Za-z][\w+-]*(\/[A-Za-z][\w+-]*){0,2}$/, 'a name like Europe/Berlin', 'UTC'),
      ),
    }),
    {},
  ),
  updates: v.optional(
    v.strictObject({
      repository: httpUrl('https://updates.example/fogmeter'),
      key: path('repository.asc'),
    }),
  ),
})

export type NodeConfig = Settled<v.InferOutput<typeof nodeConfig>>
export type MeterConfig = Settled<v.InferOutput<typeof meterConfig>>
export type BrokerConfig = Settled<v.InferOutput<typeof brokerConfig>>
export type AgentConfig = Settled<v.InferOutput<typeof agentConfig>>
export type CloudConfig = Settled<v.InferOutput<typeof cloudConfig>>
