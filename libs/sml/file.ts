import { toHex } from '#bytes'
import { CodedError } from '#errors'
import { collect, type Shown, type Telegram } from '#telegram'
import { END_OF_MESSAGE, malformed, readValue, type SmlValue } from './tlv.ts'

/** An SML file with the values a meter shows. */
export interface SmlTelegram extends Telegram {
  /** Maker as the meter names it (`EMH`); null when it does not. */
  maker: string | null
}

/** SML_GetList.Res, SML §5.1.4. */
const GET_LIST_RESPONSE = 0x0701n

/** DLMS units (IEC 62056-6-2, table 4), of those that meters use. */
const units: Readonly<Record<string, string>> = {
  8: '°',
  27: 'W',
  28: 'VA',
  29: 'var',
  30: 'Wh',
  32: 'varh',
  33: 'A',
  35: 'V',
  44: 'Hz',
}

/** Entries that are understood and hold no quantity: maker, number, key, status, firmware. */
const passedOver =
  /^(129-129:199\.130\.(3|5)|1-0:96\.50\.1\*1|1-0:96\.50\.1|1-0:0\.0\.9|1-0:96\.(1|5)\.0|1-0:0\.2\.\d(\*\d+)?|1-0:(81|14|13|33|53|73)\.7\.\d+)$/
const makerCodes = ['129-129:199.130.3', '1-0:96.50.1*1', '1-0:96.50.1']

/**
 * Reads one SML file as `createSmlFramer` cuts it out. Null when there is no list of values in it.
 * Throws `sml/malformed`, or `sml/several-meters` when it speaks for more than one.
 */
export function parseSml(bytes: Uint8Array): SmlTelegram | null {
  const lists = messagesOf(bytes).filter((message) => message !== null)
  const [first] = lists
  if (first === undefined) return null
  if (lists.some(({ meterId }) => meterId !== first.meterId)) {
    throw new CodedError('sml/several-meters', 'one SML file with lists of several meters')
  }
  const entries = lists.flatMap((list) => list.entries)
  const { values, unread } = valuesOf(entries)
  return {
    ...values,
    maker: makerOf(entries),
    meterId: first.meterId,
    // These meters count seconds since they were switched on; they have no calendar.
    timeS: null,
    powerFailures: null,
    checked: true,
    codes: entries.map(({ code }) => code),
    unread,
  }
}

interface Entry {
  code: string
  unit: SmlValue
  scaler: SmlValue
  value: SmlValue
}

interface List {
  meterId: string | null
  entries: Entry[]
}

/** Of each message its list of values, or null when it is something else. */
function messagesOf(bytes: Uint8Array): (List | null)[] {
  const messages: (List | null)[] = []
  for (let at = 0; at < bytes.length;) {
    // Between messages too some meters fill up.
    if (bytes[at] === END_OF_MESSAGE) {
      at += 1
      continue
    }
    const { list, next } = readMessage(bytes, at)
    messages.push(list)
    at = next
  }
  return messages
}

/** transaction, group, abort, [tag, body], checksum, end. */
function readMessage(bytes: Uint8Array, at: number): { list: List | null; next: number } {
  if (bytes[at] !== 0x76) throw malformed('a message is a list of six')
  let next = at + 1
  const fields: SmlValue[] = []
  while (fields.length < 5) {
    const field = readValue(bytes, next)
    fields.push(field.value)
    next = field.next
  }
  if (bytes[next] !== END_OF_MESSAGE) throw malformed('a message without its end')
  const body = fields[3]
  if (!Array.isArray(body) || body.length !== 2) throw malformed('a message without a body')
  return { list: body[0] === GET_LIST_RESPONSE ? listFrom(body[1]) : null, next: next + 1 }
}

/** client, server, list name, sensor time, values, signature, gateway time. */
function listFrom(body: SmlValue | undefined): List {
  if (!Array.isArray(body) || body.length !== 7) throw malformed('a list of values has seven parts')
  const [, server, , , values] = body
  if (!Array.isArray(values)) throw malformed('a list of values without values')
  return {
    meterId: server instanceof Uint8Array && server.length > 0 ? toHex(server).toUpperCase() : null,
    entries: values.map(entryFrom),
  }
}

/** name, status, time, unit, scaler, value, signature. */
function entryFrom(entry: SmlValue): Entry {
  if (!Array.isArray(entry) || entry.length !== 7) throw malformed('an entry has seven parts')
  const [name, , , unit = null, scaler = null, value = null] = entry
  if (!(name instanceof Uint8Array) || name.length !== 6)
    throw malformed('an entry without OBIS code')
  const [a, b, c, d, e, f] = name
  return { code: `${a}-${b}:${c}.${d}.${e}${f === 255 ? '' : `*${f}`}`, unit, scaler, value }
}

function valuesOf(entries: readonly Entry[]): ReturnType<typeof collect> {
  return collect(entries.filter(({ code }) => !passedOver.test(code)).map(shownFrom))
}

function shownFrom({ code, unit, scaler, value }: Entry): Shown {
  // A register that is no number is handed on all the same: it must not be left out of a sum.
  const scaled = scaler === null || typeof scaler === 'bigint'
  if (typeof value !== 'bigint' || !scaled) {
    return { code, mantissa: 0n, exponent: 0, unit: 'no number' }
  }
  return {
    code,
    mantissa: value,
    exponent: Number(scaler ?? 0n),
    unit: typeof unit === 'bigint' ? (units[String(unit)] ?? `unit ${unit}`) : '',
  }
}

function makerOf(entries: readonly Entry[]): string | null {
  const value = entries.find(({ code }) => makerCodes.includes(code))?.value
  if (!(value instanceof Uint8Array)) return null
  const text = String.fromCharCode(...value.subarray(0, 32))
  return /^[\x20-\x7e]+$/.test(text) ? text : null
}
