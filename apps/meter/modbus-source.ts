import { setTimeout as delay } from 'node:timers/promises'
import type { ModbusSource } from '#config'
import { CodedError } from '#errors'
import {
  blocksOf,
  findSdm,
  findSunspec,
  readDevice,
  type Device,
  type ReadRegisters,
  type Row,
} from '#modbus'
import type { Clock } from '#ports'
import { openModbus, type ModbusLink } from './modbus-link.ts'
import type { PortReport } from './port-report.ts'
import { mayPass, reopening } from './reopen.ts'
import type { Received } from './telegrams.ts'
import { valueCodes } from './value-names.ts'

export interface ModbusSourceOptions {
  source: ModbusSource
  clock: Clock
  signal: AbortSignal
  report: PortReport
  /** Bounds of the waits between attempts, and how long an answer may take. */
  waits?: { firstMs: number; maxMs: number; answerMs: number } | undefined
}

const WAITS = { firstMs: 1_000, maxMs: 60_000, answerMs: 2_000 }

/** Net power, of all phases and of each: what has a sign. */
const NET_POWER = /^1-0:(16|36|56|76)\.7\.0$/

/**
 * What a meter says when it is asked, once in `interval_seconds`. A refusal, a silence or an answer
 * that cannot be ends the connection, is told to the log, and everything begins anew, the look for
 * the device's registers included. Throws `port/missing`, `port/denied`, `modbus/bad-table`.
 */
export async function* askedMeter(options: ModbusSourceOptions): AsyncGenerator<Received, void> {
  const waits = options.waits ?? WAITS
  const session = { ...options, waits, wasOpen: false }
  // Answers on a line have no number: one that comes late must be gone before the next question.
  const patient = { ...waits, leastMs: waits.answerMs }
  yield* reopening({ ...options, waits: patient }, (onSuccess) => oneSession(session, onSuccess))
}

type Session = ModbusSourceOptions & { waits: typeof WAITS; wasOpen: boolean }

async function* oneSession(
  session: Session,
  onSuccess: () => void,
): AsyncGenerator<Received, CodedError | null> {
  let link: ModbusLink
  try {
    link = await openModbus({ ...session, answerMs: session.waits.answerMs })
  } catch (error) {
    if (mayPass(error, session.wasOpen)) return error
    throw error
  }
  session.wasOpen = true
  try {
    yield* rounds(link.read, session, onSuccess)
    return null
  } catch (error) {
    if (session.signal.aborted) return null
    if (error instanceof CodedError && error.code !== BAD_TABLE) return error
    throw error
  } finally {
    await link.close()
  }
}

const BAD_TABLE = 'modbus/bad-table'

async function* rounds(
  read: ReadRegisters,
  { source, clock, signal, report }: Session,
  onSuccess: () => void,
): AsyncGenerator<Received, void> {
  const device = signed(await deviceOf(read, source), source)
  report.opened(true)
  for (let dueMs = clock.monotonic(); !signal.aborted;) {
    const telegram = await readDevice(read, device)
    onSuccess()
    report.telegram(telegram)
    yield { telegram, live: true }
    const nowMs = clock.monotonic()
    dueMs = Math.max(dueMs + source.intervalSeconds * 1_000, nowMs)
    await delay(dueMs - nowMs, undefined, { signal })
  }
}

async function deviceOf(read: ReadRegisters, source: ModbusSource): Promise<Device> {
  const { profile } = source
  if (profile === 'sunspec') return findSunspec(read)
  if (profile !== undefined) return findSdm(read, profile)
  const rows = rowsOf(source)
  return { maker: null, meterId: null, rows, blocks: blocksOf(rows) }
}

/** The rows of the configuration's own table. */
export function rowsOf({ map }: ModbusSource): Row[] {
  return map.map(({ table, register, type, first, scale, scaleRegister, value, unit }) => ({
    table,
    register,
    type,
    littleFirst: first === 'low',
    exponent: scale,
    ...(scaleRegister !== undefined && { scaleRegister }),
    code: valueCodes[value],
    unit,
  }))
}

function signed(device: Device, { positive }: ModbusSource): Device {
  if (positive === 'import') return device
  const rows = device.rows.map((row) => ({ ...row, negated: NET_POWER.test(row.code) }))
  return { ...device, rows }
}
