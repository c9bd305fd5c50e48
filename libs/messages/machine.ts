import type { CborValue } from '#cbor'
import { fieldsOf, integer, integerOrNull, malformed, type Fields } from './fields.ts'

/** What a fog node's machine says about itself; null where it does not tell. */
export interface MachineStatus {
  /** Whether its clock was set since it started. */
  clockSet: boolean
  uptimeS: number
  /** 0.1 °C, of the processor. */
  temperatureDc: number | null
  /** The Pi's `get_throttled`: bits 0 to 3 what is the case now, 16 to 19 what was since the start. */
  throttled: number | null
  /** Written to the disk of the store since the start, by whichever program, and what it holds. */
  writtenBytes: number | null
  diskBytes: number | null
}

const [COLDEST_DC, HOTTEST_DC] = [-1_000, 2_000]
const THROTTLED_BITS = 0xffff_ffff

export function machineValues(m: MachineStatus): CborValue[] {
  return [m.clockSet, m.uptimeS, m.temperatureDc, m.throttled, m.writtenBytes, m.diskBytes]
}

/** The mirror of `machineValues`. @throws messages/malformed */
export function machineFrom(value: CborValue): MachineStatus {
  const f = fieldsOf(value, 'a machine', 6)
  const [clockSet] = f
  if (typeof clockSet !== 'boolean') throw malformed('clock-set must be true or false')
  return {
    clockSet,
    uptimeS: integer(f, 1),
    temperatureDc: atMost(f, 2, HOTTEST_DC, COLDEST_DC),
    throttled: atMost(f, 3, THROTTLED_BITS),
    writtenBytes: integerOrNull(f, 4),
    diskBytes: integerOrNull(f, 5),
  }
}

function atMost(fields: Fields, index: number, max: number, min = 0): number | null {
  const value = integerOrNull(fields, index, min)
  if (value !== null && value > max) throw malformed(`element ${index} must be at most ${max}`)
  return value
}
