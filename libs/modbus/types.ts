import type { Telegram } from '#telegram'
import type { NumberType } from './number.ts'

/** Read-only input registers (function 4), or holding registers (function 3). */
export type Table = 'input' | 'holding'

/**
 * Asks the device for `count` registers from address `first` on, counted from 0 as on the wire.
 * Rejects with `modbus/refused` when the device says that it has none there, and with other codes
 * when nobody knows.
 */
export type ReadRegisters = (
  table: Table,
  first: number,
  count: number,
) => Promise<readonly number[]>

/** Where one value stands, and what it is. */
export interface Row {
  table: Table
  /** Address of its first register, from 0. */
  register: number
  type: NumberType
  /** The least significant register comes first; within a register it is always the high byte. */
  littleFirst?: boolean
  /** One of it is 10^exponent units. */
  exponent?: number
  /** A register that holds a further exponent (`sunssf`). */
  scaleRegister?: number
  /** OBIS code. */
  code: string
  unit: string
  /** The device counts the other direction as positive. */
  negated?: boolean
}

/** Registers that are read by one request, so that they are of one moment. */
export interface Block {
  table: Table
  first: number
  count: number
}

/** A device whose registers are known. */
export interface Device {
  maker: string | null
  /** By which a replaced meter shows; null when it does not say. */
  meterId: string | null
  rows: readonly Row[]
  blocks: readonly Block[]
  /** What the rows rest on: holding registers that have to read like this each time. */
  proof?: { first: number; words: readonly number[] }
}

/** What one round of requests says. */
export interface ModbusTelegram extends Telegram {
  maker: string | null
}
