import * as v from 'valibot'
import { parseIso } from '#ports'

/**
 * The kinds of value a configuration file may hold. Each carries what is expected in words and an
 * example, so that every complaint can say how to write it right.
 */

/** A path as written in the file; `loadConfig` resolves it against the file's folder. */
export class PathText {
  readonly text: string
  readonly prefix: string

  constructor(written: string, prefix = '') {
    this.text = written
    this.prefix = prefix
  }
}

/** Where a program listens for TCP. Port 0 lets the system choose. */
export interface Address {
  host: string
  port: number
}

/** One network listener of a broker. */
export interface Listener extends Address {
  tls: boolean
}

/** What `v.getMetadata` yields for every leaf. */
export type LeafNotes = {
  expected: string
  /** As it would stand in the file. */
  example: string
  /** What was found there instead is never shown. */
  secret?: true
}

function notes<T>(expected: string, example: string): v.MetadataAction<T, LeafNotes> {
  return v.metadata<T, LeafNotes>({ expected, example })
}

export function integer(min: number, max: number, example: number) {
  return v.pipe(
    v.number(),
    v.integer(),
    v.minValue(min),
    v.maxValue(max),
    notes(`an integer from ${min} to ${max}`, String(example)),
  )
}

export function flag(example: boolean) {
  return v.pipe(v.boolean(), notes('true or false', String(example)))
}

export function text(expected: string, example: string) {
  return v.pipe(v.string(), v.minLength(1), notes(expected, quoted(example)))
}

export function oneOf<const T extends readonly [string, ...string[]]>(...options: T) {
  const listed = options.map(quoted).join(' or ')
  return v.pipe(v.picklist(options), notes(listed, quoted(options[0])))
}

/** Text of one form. */
export function matching(pattern: RegExp, expected: string, example: string) {
  return v.pipe(v.string(), v.regex(pattern), notes(expected, quoted(example)))
}

/** Text of one form that opens something. */
export function secretMatching(pattern: RegExp, expected: string) {
  const about: LeafNotes = { expected, example: '""', secret: true }
  return v.pipe(v.string(), v.regex(pattern), v.metadata(about))
}

/** Without a user name and a password: addresses are shown and logged. */
function isHttp(value: string): boolean {
  const url = URL.parse(value)
  return /^https?:$/.test(url?.protocol ?? '') && url?.username === '' && url.password === ''
}

/** Where an HTTP API is. */
export function httpUrl(example: string) {
  const expected = 'http://host:port or https://host, without a user name'
  return v.pipe(v.string(), v.check(isHttp), notes(expected, quoted(example)))
}

/** The name of one MQTT topic, not a filter. */
export function topic(example: string) {
  const expected = 'a topic without + and #'
  return v.pipe(v.string(), v.regex(/^[^+#\0]{1,1000}$/), notes(expected, quoted(example)))
}

/** A device or node name, as in credentials and topics. */
export function deviceName(example: string) {
  const expected = 'a name of 1 to 32 letters, digits, dots, dashes or underscores'
  const pattern = /^[A-Za-z0-9][A-Za-z0-9._-]{0,31}$/
  return v.pipe(v.string(), v.regex(pattern), notes(expected, quoted(example)))
}

/**
 * A file or folder, or `credential:NAME` for what systemd hands over; `{name}` inside stands for the
 * meter's name where a fleet is allowed.
 */
export function path(example: string) {
  return v.pipe(
    v.string(),
    v.regex(/^(?!credential:(?![\w{}-][\w.{}-]*$))./s),
    v.transform((value) => new PathText(value)),
    notes(
      'a path (relative ones start at this file’s folder) or "credential:NAME"',
      quoted(example),
    ),
  )
}

const BROKER_URLS = 'mqtt://host:port, mqtts://host:port or unix:///path/of/socket'
const FOUND = ['mdns:', 'mdns:any']

/** Where a broker is: `mqtt://`, `mqtts://`, or `unix:` with the path of a socket. */
export function brokerUrl(example: string) {
  return urlOrOneOf([], BROKER_URLS, example)
}

/** Where a fog node is: the same, or found on the local network, by its name or whoever answers. */
export function fogUrl(example: string) {
  return urlOrOneOf(FOUND, `mdns:, mdns:any, ${BROKER_URLS}`, example)
}

function urlOrOneOf(words: readonly string[], expected: string, example: string) {
  return v.pipe(
    v.string(),
    v.rawTransform(({ dataset, addIssue, NEVER }): string | PathText => {
      if (words.includes(dataset.value)) return dataset.value
      const socket = /^unix:(?:\/\/)?(.+)$/.exec(dataset.value)?.[1]
      if (socket !== undefined) return new PathText(socket, 'unix://')
      if (parseAddress(dataset.value, /^mqtts?:\/\//, 1)) return dataset.value
      addIssue()
      return NEVER
    }),
    notes(expected, quoted(example)),
  )
}

/** How a serial line is set. */
export interface SerialLine {
  baudRate: number
  dataBits: 7 | 8
  parity: 'none' | 'even' | 'odd'
  stopBits: 1 | 2
}

const parities = { N: 'none', E: 'even', O: 'odd' } as const

/** Baud rate, data bits, parity and stop bits, e.g. `9600 7E1`. */
export function serialLine(example: string) {
  return v.pipe(
    v.string(),
    v.rawTransform(({ dataset, addIssue, NEVER }): SerialLine => {
      const match = /^(\d{2,7}) ([78])([NEO])([12])$/.exec(dataset.value)
      if (match !== null) {
        return {
          baudRate: Number(match[1]),
          dataBits: match[2] === '7' ? 7 : 8,
          parity: parities[match[3] as keyof typeof parities],
          stopBits: match[4] === '2' ? 2 : 1,
        }
      }
      addIssue()
      return NEVER
    }),
    notes('baud rate, data bits, parity and stop bits', quoted(example)),
  )
}

/** Where bytes of a meter come from: a device or file, `tcp://host:port`, or `-` for stdin. */
export function meterPort(example: string) {
  return v.pipe(
    v.string(),
    v.minLength(1),
    v.rawTransform(({ dataset, addIssue, NEVER }): string | PathText => {
      const { value } = dataset
      if (value === '-') return value
      if (!value.startsWith('tcp:')) return new PathText(value)
      if (parseAddress(value, /^tcp:\/\//)) return value
      addIssue()
      return NEVER
    }),
    notes('a device, a file, tcp://host:port or "-" for standard input', quoted(example)),
  )
}

/** Where a Modbus device is: a serial device, or `tcp://host`, whose port is 502 unless it is given. */
export function modbusPort(example: string) {
  return v.pipe(
    v.string(),
    v.minLength(1),
    v.rawTransform(({ dataset, addIssue, NEVER }): string | PathText => {
      const { value } = dataset
      if (value !== '-' && !value.startsWith('tcp:')) return new PathText(value)
      const found = parseAddress(value, /^tcp:\/\//, 502)
      if (found !== null) {
        return `tcp://${found.host.includes(':') ? `[${found.host}]` : found.host}:${found.port}`
      }
      addIssue()
      return NEVER
    }),
    notes('a serial device or tcp://host:port', quoted(example)),
  )
}

/** Splits `tcp://host:port`, as `meterPort` has checked it. */
export function tcpAddress(value: string): Address | null {
  return parseAddress(value, /^tcp:\/\//)
}

/** `host:port`. */
export function address(example: string) {
  return v.pipe(
    v.string(),
    v.rawTransform(({ dataset, addIssue, NEVER }): Address => {
      const found = parseAddress(dataset.value, /^/)
      if (found) return found
      addIssue()
      return NEVER
    }),
    notes('host:port', quoted(example)),
  )
}

/** `host:port`, or null for `off`. */
export function addressOrOff(example: string) {
  return v.pipe(
    v.string(),
    v.rawTransform(({ dataset, addIssue, NEVER }): Address | null => {
      if (dataset.value === 'off') return null
      const found = parseAddress(dataset.value, /^/)
      if (found) return found
      addIssue()
      return NEVER
    }),
    notes('host:port or "off"', quoted(example)),
  )
}

/** `mqtt://host:port` or `mqtts://host:port`; the ports default to 1883 and 8883. */
export function listener(example: string) {
  return v.pipe(
    v.string(),
    v.rawTransform(({ dataset, addIssue, NEVER }): Listener => {
      const tls = dataset.value.startsWith('mqtts:')
      const found = parseAddress(dataset.value, /^mqtts?:\/\//, tls ? 8883 : 1883)
      if (found) return { tls, ...found }
      addIssue()
      return NEVER
    }),
    notes('mqtt://host:port or mqtts://host:port', quoted(example)),
  )
}

/** `now` as null, or an ISO 8601 time with zone as seconds since 1970. */
export function startTime(example: string) {
  const pattern = /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d)?(Z|[+-]\d\d:\d\d)$/
  return v.pipe(
    v.string(),
    v.rawTransform(({ dataset, addIssue, NEVER }): number | null => {
      if (dataset.value === 'now') return null
      const time = pattern.test(dataset.value) ? parseIso(dataset.value) : Number.NaN
      if (Number.isFinite(time)) return Math.floor(time / 1000)
      addIssue()
      return NEVER
    }),
    notes('"now" or a quoted time with zone such as "2026-03-01T00:00:00Z"', quoted(example)),
  )
}

/** Splits `host:port` after a prefix; IPv6 addresses stand in brackets. Null when it is neither. */
function parseAddress(value: string, prefix: RegExp, defaultPort?: number): Address | null {
  if (!prefix.test(value)) return null
  const match = /^(\[[0-9a-fA-F:.]+\]|[^\s:/[\]]+)(?::(\d{1,5}))?\/?$/.exec(
    value.replace(prefix, ''),
  )
  const port = match?.[2] === undefined ? defaultPort : Number(match[2])
  if (match?.[1] === undefined || port === undefined || port > 65_535) return null
  return { host: match[1].replace(/^\[|\]$/g, ''), port }
}

function quoted(value: string): string {
  return JSON.stringify(value)
}
