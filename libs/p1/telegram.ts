import { CodedError } from '#errors'
import { collect, isValueCode, type Shown, type Unread } from '#telegram'
import { identityCodes, meterIdFrom } from './ident.ts'
import { codeOf, parseLines, parseValue, type Line } from './lines.ts'
import { readChannels } from './mbus.ts'
import { parseStamp } from './stamp.ts'
import type { P1Options, P1Telegram, PowerFailure } from './types.ts'

/** DSMR 4 brought the checksum. */
const FIRST_VERSION_WITH_CRC = 40

/** Lines with a meaning of their own, beside the values of #telegram and the M-Bus channels. */
const codes = {
  version: '1-3:0.2.8',
  belgianVersion: '0-0:96.1.4',
  time: '0-0:1.0.0',
  tariff: '0-0:96.14.0',
  shortFailures: '0-0:96.7.21',
  longFailures: '0-0:96.7.9',
  failureLog: '1-0:99.97.0',
} as const

/**
 * Lines that are understood and that nobody here needs: messages, switches and limits, demand,
 * sags and swells, reactive energy and power, power factor, frequency, absolute sums, state.
 */
const passedOver: readonly RegExp[] = [
  /^0-0:96\.13\.[0-9]$/,
  /^0-0:(96\.3\.10|96\.50\.68|17\.0\.0|98\.1\.0|96\.7\.19)$/,
  /^1-0:(31|51|71)\.4\.0$/,
  /^1-0:1\.[46]\.0$/,
  /^1-0:(32|52|72)\.(32|36)\.0$/,
  /^1-0:([3-9]|1[03-5]|[2-7][3-9]|[2-7]0)\.[78]\.\d$/,
  /^1-0:96\.5\.5$/,
]

/**
 * Reads one telegram, as `createP1Framer` cuts it out. What is not understood is named in `unread`.
 * Throws `p1/bad-crc`, `p1/no-crc` when a meter that always sends a checksum sent none, or
 * `p1/damaged`: nothing of such a telegram is to be used.
 */
export function parseP1(bytes: Uint8Array, options: P1Options): P1Telegram {
  const { ident, lines, odd, checked } = parseLines(bytes)
  if (!checked) mayLackCrc(lines)
  const version = single(lines, codes.version) ?? single(lines, codes.belgianVersion)
  const { channels, rest, unread } = readChannels(lines, options)
  const values = readValues(rest, odd.map(codeBefore))
  const time = single(rest, codes.time)
  const timeS = time === null ? null : parseStamp(time, options.winterMinutes)
  return {
    ident,
    version,
    meterId: identityOf(rest),
    timeS,
    ...values.values,
    tariff: single(rest, codes.tariff),
    powerFailures: count(single(rest, codes.longFailures)),
    shortPowerFailures: count(single(rest, codes.shortFailures)),
    failureLog: failuresOf(rest, options),
    channels,
    checked,
    codes: lines.map(({ code }) => code),
    unread: [
      ...unread,
      ...(time !== null && timeS === null
        ? [{ what: codes.time, why: 'not a time with S (summer) or W (winter)' }]
        : []),
      ...values.unread,
      ...odd
        .map(codeBefore)
        .filter((code) => !isValueCode(code))
        .map((code) => ({ what: code.slice(0, 16), why: 'not in the form of a line' })),
    ],
  }
}

function mayLackCrc(lines: readonly Line[]): void {
  for (const { code, groups } of lines) {
    if (code !== codes.version && code !== codes.belgianVersion) continue
    if (Number(groups[0]) < FIRST_VERSION_WITH_CRC) continue
    throw new CodedError('p1/no-crc', `a telegram of version ${groups[0]} without its checksum`)
  }
}

/** What stands before the brackets of something that has not the form of a line. */
function codeBefore(row: string): string {
  return codeOf(row.split('(')[0]?.trim() ?? '')
}

/** `damaged` are the codes of lines that are there and cannot be read. */
function readValues(
  lines: readonly Line[],
  damaged: readonly string[],
): ReturnType<typeof collect> {
  // A register that is no number must not be left out of a sum.
  const shown: Shown[] = damaged.filter(isValueCode).map(noNumber)
  const unread: Unread[] = []
  for (const { code, groups } of lines) {
    if (isUnderstood(code)) continue
    const value = groups.length === 1 ? parseValue(code, groups[0] ?? '') : null
    if (value !== null) shown.push(value)
    else if (isValueCode(code)) shown.push(noNumber(code))
    else unread.push({ what: code, why: 'not known here' })
  }
  const collected = collect(shown)
  return { values: collected.values, unread: [...unread, ...collected.unread] }
}

function noNumber(code: string): Shown {
  return { code, mantissa: 0n, exponent: 0, unit: 'no number' }
}

const understood: ReadonlySet<string> = new Set([...Object.values(codes), ...identityCodes])

function isUnderstood(code: string): boolean {
  if (isValueCode(code)) return false
  return understood.has(code) || passedOver.some((pattern) => pattern.test(code))
}

/** What stands in the first brackets of the only line with this code; null when there is none. */
function single(lines: readonly Line[], code: string): string | null {
  const found = lines.filter((line) => line.code === code)
  return found.length === 1 ? (found[0]?.groups[0] ?? null) : null
}

function identityOf(lines: readonly Line[]): string | null {
  for (const code of identityCodes) {
    const id = meterIdFrom(single(lines, code) ?? '')
    if (id !== null) return id
  }
  return null
}

function count(text: string | null): number | null {
  return text !== null && /^\d{1,10}$/.test(text) ? Number(text) : null
}

/** `(how many)(0-0:96.7.19)` and then for each `(end)(seconds*s)`. */
function failuresOf(lines: readonly Line[], { winterMinutes }: P1Options): PowerFailure[] {
  const groups = lines.find(({ code }) => code === codes.failureLog)?.groups.slice(2) ?? []
  const log: PowerFailure[] = []
  for (let at = 0; at + 1 < groups.length; at += 2) {
    const seconds = /^(\d{1,10})\*s$/.exec(groups[at + 1] ?? '')?.[1]
    if (seconds === undefined) break
    log.push({ endS: parseStamp(groups[at] ?? '', winterMinutes), durationS: Number(seconds) })
  }
  return log
}
