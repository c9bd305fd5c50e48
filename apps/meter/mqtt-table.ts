import { fromUtf8 } from '#bytes'
import type { MeterConfig } from '#config'
import { CodedError } from '#errors'
import type { Measurement } from '#meter'
import { collect, parseDecimal, shownIn, type Shown } from '#telegram'
import { isPower, isRegister, valueCodes } from './value-names.ts'

export type MqttSource = Extract<MeterConfig['source'], { kind: 'mqtt' }>
type Row = MqttSource['map'][number]

/** A value nobody has repeated for so long is not of now. */
const STALE_MS = 300_000

type Taken = Omit<Measurement, 'timeS' | 'timeQuality' | 'ageS'>

/**
 * Turns messages into measurements by the table of the configuration. A message with a power makes
 * one, with the newest of everything else; the first waits for the registers that the table names,
 * or the meter would begin without them.
 */
export function createMqttTable(rows: readonly Row[]) {
  const newest = new Map<Row, { shown: Shown; atMs: number }>()
  let firstMs: number | null = null

  /**
   * Null when the message completes nothing. Throws `mqtt/bad-value` when what the table asks for is
   * not there or no number, or has another unit than its kind can have; then nothing changes.
   */
  function take(topic: string, payload: Uint8Array, nowMs: number): Taken | null {
    const due = rows.filter((row) => row.topic === topic)
    const values = due.map((row) => [row, { shown: shownBy(row, payload), atMs: nowMs }] as const)
    for (const [row, value] of values) newest.set(row, value)
    if (due.length > 0) firstMs ??= nowMs
    return due.some(isPower) && !isEarly(nowMs) ? measured(nowMs) : null
  }

  function isEarly(nowMs: number): boolean {
    const waits = rows.some((row) => isRegister(row) && !newest.has(row))
    return waits && nowMs - (firstMs ?? nowMs) <= STALE_MS
  }

  function measured(nowMs: number): Taken | null {
    const fresh = [...newest.values()].filter(({ atMs }) => nowMs - atMs <= STALE_MS)
    const { values, unread } = collect(fresh.map(({ shown }) => shown))
    const [first] = unread
    if (first !== undefined) throw badValue(`${first.what}: ${first.why}`)
    const { powerW, importWh, exportWh, voltageDv, currentMa } = values
    if (powerW === null) return null
    return { powerW, importWh, exportWh, voltageDv: voltageDv[0], currentMa: currentMa[0] }
  }

  return { take }
}

function shownBy(row: Row, payload: Uint8Array): Shown {
  const where = row.field === undefined ? row.topic : `${row.topic}, ${row.field}`
  const value = parseDecimal(textOf(row, payload, where))
  if (value === null) throw badValue(`${where}: not a number`)
  const code = valueCodes[row.value]
  // 60 watt-minutes are one watt-hour; nothing of a register is lost in nine more digits.
  if (row.unit === 'Wmin') {
    return {
      code,
      mantissa: (value.mantissa * 10n ** 9n) / 60n,
      exponent: value.exponent - 9,
      unit: 'Wh',
    }
  }
  return shownIn(code, value, row.unit)
}

function textOf({ field }: Row, payload: Uint8Array, where: string): string {
  const text = fromUtf8(payload)
  if (field === undefined) return text.trim()
  let value = jsonFrom(text, where)
  for (const key of field.split('.')) {
    const inside = typeof value === 'object' && value !== null && Object.hasOwn(value, key)
    if (!inside) throw badValue(`${where}: there is no ${key} in the message`)
    value = (value as Record<string, unknown>)[key]
  }
  if (typeof value === 'number') return decimalOf(value)
  return typeof value === 'string' ? value.trim() : ''
}

function jsonFrom(text: string, where: string): unknown {
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw new CodedError('mqtt/bad-value', `${where}: the message is not JSON`, { cause })
  }
}

/** The shortest decimal that is this number: what the sender wrote. */
function decimalOf(value: number): string {
  const text = String(value)
  return text.includes('e') && Math.abs(value) < 1 ? value.toFixed(15) : text
}

function badValue(message: string): CodedError {
  return new CodedError('mqtt/bad-value', message)
}
