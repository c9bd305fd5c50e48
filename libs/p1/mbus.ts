import { whole, type Quantity, type Unread } from '#telegram'
import { meterIdFrom } from './ident.ts'
import { parseValue, type Line } from './lines.ts'
import { parseStamp } from './stamp.ts'
import type { MbusChannel, P1Options } from './types.ts'

/** Device types of EN 13757-3 that turn up behind a P1 port. */
const kinds: Readonly<Record<number, MbusChannel['kind']>> = {
  2: 'electricity',
  3: 'gas',
  4: 'heat',
  6: 'warm-water',
  7: 'water',
  10: 'cold',
  12: 'heat',
}

/** By the unit the meter gives: ours, and how to count in it. */
const amounts: Readonly<Record<string, { unit: 'l' | 'Wh' | 'MJ'; quantity: Quantity }>> = {
  m3: { unit: 'l', quantity: { unit: 'm3', exponent: -3, limit: 1e12, fraction: 'floor' } },
  Wh: { unit: 'Wh', quantity: { unit: 'Wh', exponent: 0, limit: 1e12, fraction: 'floor' } },
  J: { unit: 'MJ', quantity: { unit: 'J', exponent: 6, limit: 1e12, fraction: 'floor' } },
}

const CODE = /^0-([1-9]):(24\.1\.0|24\.2\.[1-3]|24\.3\.0|24\.4\.0|96\.1\.[0-2])$/

/** Reads the lines of the M-Bus channels; everybody else's are left in `rest`. */
export function readChannels(
  lines: readonly Line[],
  options: P1Options,
): { channels: MbusChannel[]; rest: Line[]; unread: Unread[] } {
  const channels = new Map<number, MbusChannel>()
  const unread: Unread[] = []
  const rest = lines.filter((line) => {
    const match = CODE.exec(line.code)
    if (match === null) return true
    const channel = Number(match[1])
    const known = channels.get(channel) ?? emptyChannel(channel)
    channels.set(channel, known)
    const why = readLine(known, match[2] ?? '', line, options)
    if (why !== null) unread.push({ what: line.code, why })
    return false
  })
  return { channels: [...channels.values()], rest, unread }
}

function emptyChannel(channel: number): MbusChannel {
  return { channel, kind: null, meterId: null, timeS: null, value: null, unit: null }
}

/** Null when it was understood, else why not. */
function readLine(
  channel: MbusChannel,
  what: string,
  { code, groups }: Line,
  options: P1Options,
): string | null {
  const [first = ''] = groups
  if (what === '24.4.0') return null
  if (what === '24.1.0') {
    channel.kind = /^\d{1,3}$/.test(first) ? (kinds[Number(first)] ?? 'other') : null
    return null
  }
  if (what.startsWith('96.1.')) {
    channel.meterId = meterIdFrom(first)
    return null
  }
  // DSMR 2 and 3: (stamp)(status)(period)(count)(0-1:24.2.1)(unit)(value); later: (stamp)(value*unit).
  const old = what === '24.3.0'
  if (groups.length !== (old ? 7 : 2)) return 'not in the form of its kind'
  const shown = parseValue(code, groups.at(-1) ?? '', old ? groups[5] : undefined)
  const amount = shown === null ? undefined : amounts[shown.unit]
  if (shown === null) return 'not a number'
  if (amount === undefined) return `its unit is ${shown.unit === '' ? 'missing' : 'unknown'}`
  if (channel.value !== null) return 'there twice'
  const value = shown.mantissa < 0n ? null : whole(shown, amount.quantity)
  if (value === null) return 'out of range'
  Object.assign(channel, {
    value,
    unit: amount.unit,
    timeS: parseStamp(first, options.winterMinutes),
  })
  return null
}
