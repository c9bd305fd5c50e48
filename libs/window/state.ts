import { addChecksum, dropChecksum } from '#bytes'
import { decode, encode, type CborValue } from '#cbor'
import { CodedError } from '#errors'
import { emptyTotals, type Totals } from './accumulator.ts'
import { trimMeters } from './meter-set.ts'

/** One window: what has been added and what has been issued of it. */
export interface Window {
  startS: number
  endS: number
  totals: Totals
  /** Revisions issued so far, which is the number of the next one. */
  issued: number
  /** Something was added after the last issue. */
  pending: boolean
  /** Its end lay behind the watermark when its first reading came. */
  late: boolean
  /** Monotonic ms: the newest addition, and the first one not issued yet. */
  addedMs: number
  pendingSinceMs: number
  /** Differs from its saved row. */
  dirty: boolean
}

/** A window as a row of a checkpoint, keyed by its start. */
export interface WindowRow {
  startS: number
  state: Uint8Array
}

/** Format of the state, so that a later release can tell. */
const VERSION = 1

export function newWindow(startS: number, endS: number, nowMs: number, late: boolean): Window {
  return {
    startS,
    endS,
    totals: emptyTotals(),
    issued: 0,
    pending: false,
    late,
    addedMs: nowMs,
    pendingSinceMs: nowMs,
    dirty: true,
  }
}

/** A window as a CBOR array; times of this process are left out. */
export function encodeWindow(window: Window): Uint8Array {
  const t = window.totals
  const known = (value: number) => (t.readings === 0 ? 0 : value)
  const values = encode([
    VERSION,
    window.endS,
    window.issued,
    window.pending,
    window.late,
    trimMeters(t.meters),
    t.readings,
    t.powerSumW,
    known(t.powerMinW),
    known(t.powerMaxW),
    t.voltageSumDv,
    t.voltageCount,
    t.voltageMinDv,
    t.voltageMaxDv,
    t.importWh,
    t.exportWh,
    t.estimated,
    t.unknownTime,
    t.substitute,
    known(t.firstReceivedS),
  ])
  return addChecksum(values)
}

/** The mirror of `encodeWindow`; additions count as made now. Throws `window/damaged`. */
export function decodeWindow({ startS, state }: WindowRow, nowMs: number): Window {
  const f = fieldsOf(state, startS)
  const int = (index: number): number => {
    const value = f[index]
    if (typeof value === 'number') return value
    throw damaged(startS)
  }
  const intOrNull = (index: number): number | null => (f[index] === null ? null : int(index))
  const meters = f[5]
  if (!(meters instanceof Uint8Array)) throw damaged(startS)
  const window = {
    ...newWindow(startS, int(1), nowMs, f[4] === true),
    issued: int(2),
    pending: f[3] === true,
    dirty: false,
  }
  if (int(6) === 0) return window // everything in it was withdrawn
  return {
    ...window,
    totals: {
      meters: Uint8Array.from(meters),
      readings: int(6),
      powerSumW: int(7),
      powerMinW: int(8),
      powerMaxW: int(9),
      voltageSumDv: int(10),
      voltageCount: int(11),
      voltageMinDv: intOrNull(12),
      voltageMaxDv: intOrNull(13),
      importWh: int(14),
      exportWh: int(15),
      estimated: int(16),
      unknownTime: int(17),
      substitute: int(18),
      firstReceivedS: int(19),
    },
  }
}

function fieldsOf(state: Uint8Array, startS: number): CborValue[] {
  let value: CborValue
  try {
    value = decode(dropChecksum(state))
  } catch (error) {
    throw damaged(startS, error)
  }
  if (!Array.isArray(value) || value.length !== 20 || value[0] !== VERSION) throw damaged(startS)
  return value
}

export function damaged(startS: number, cause?: unknown): CodedError {
  const message = `the saved window from ${startS} cannot be read: restore a backup`
  return new CodedError('window/damaged', message, { cause })
}
