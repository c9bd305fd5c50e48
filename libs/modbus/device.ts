import { CodedError } from '#errors'
import { collect, shownIn, type Exact, type Shown } from '#telegram'
import { numberFrom, numberSizes, scaleFrom } from './number.ts'
import type { Block, Device, ModbusTelegram, ReadRegisters, Row, Table } from './types.ts'

/** What the most modest meter here gives in one answer: 30 parameters (SDM72D). */
const MAX_MERGED = 60
/** Modbus Application Protocol 1.1b3 §6.3, §6.4. */
const MAX_COUNT = 125

/** Values by table and address. */
type Words = Record<Table, Map<number, number>>

/**
 * One round of requests. What is not implemented is not there; what cannot be (another unit, out of
 * range) is named in `unread`. Rejects as `read`, and with `modbus/moved` when the registers are not
 * those of the device any more.
 */
export async function readDevice(read: ReadRegisters, device: Device): Promise<ModbusTelegram> {
  const { maker, meterId, proof } = device
  const words = await readBlocks(read, device.blocks)
  if (proof?.words.some((word, i) => words.holding.get(proof.first + i) !== word) === true) {
    throw new CodedError('modbus/moved', 'the registers stand elsewhere now; they are looked for')
  }
  const shown = shownBy(device.rows, words)
  const { values, unread } = collect(shown)
  const codes = shown.map(({ code }) => code)
  return {
    ...values,
    maker,
    meterId,
    timeS: null,
    powerFailures: null,
    checked: true,
    codes,
    unread,
  }
}

async function readBlocks(read: ReadRegisters, blocks: readonly Block[]): Promise<Words> {
  const words: Words = { input: new Map(), holding: new Map() }
  for (const { table, first, count } of blocks) {
    const answer = await read(table, first, count)
    answer.forEach((word, i) => words[table].set(first + i, word))
  }
  return words
}

/**
 * SunSpec gives an accumulator of 0 two meanings, "nothing yet" and "not implemented". Import and
 * export are both mandatory in its meters: if one has counted, the other's 0 is nothing yet.
 */
function shownBy(rows: readonly Row[], words: Words): Shown[] {
  const values = rows.map((row) => [row, valueOf(row, words)] as const)
  const counts = values.some(
    ([row, value]) => row.type === 'acc32' && Number(value?.mantissa ?? 0) !== 0,
  )
  return values.flatMap(([row, value]) => {
    if (value === null || (row.type === 'acc32' && !counts)) return []
    const mantissa = row.negated === true ? -value.mantissa : value.mantissa
    return [shownIn(row.code, { ...value, mantissa }, row.unit)]
  })
}

function valueOf(row: Row, words: Words): Exact | null {
  const { table, register, type, littleFirst = false, exponent = 0, scaleRegister } = row
  const scale = scaleRegister === undefined ? 0 : scaleFrom(wordAt(words, table, scaleRegister))
  const own = Array.from({ length: numberSizes[type] }, (_, i) =>
    wordAt(words, table, register + i),
  )
  const value = numberFrom(littleFirst ? own.toReversed() : own, type)
  if (value === null || scale === null) return null
  return { mantissa: value.mantissa, exponent: value.exponent + exponent + scale }
}

function wordAt(words: Words, table: Table, address: number): number {
  const word = words[table].get(address)
  if (word !== undefined) return word
  throw new CodedError('modbus/bad-table', `${table} register ${address} is in no block`)
}

/**
 * The requests that `rows` take: a value and its scale factor together, neighbours together, and no
 * register that no row asks for, since a meter may refuse those. Throws `modbus/bad-table` naming the
 * row that no request can hold.
 */
export function blocksOf(rows: readonly Row[]): Block[] {
  const blocks: Block[] = []
  for (const next of rows.map(spanOf).toSorted(byPlace)) {
    const last = blocks.at(-1)
    const end = next.first + next.count
    const touches = last?.table === next.table && next.first <= last.first + last.count
    if (last === undefined || !touches) blocks.push(next)
    else if (end <= last.first + last.count) continue
    else if (end - last.first <= MAX_MERGED) last.count = end - last.first
    else blocks.push(next)
  }
  return blocks
}

function spanOf({ table, register, type, scaleRegister = register }: Row): Block {
  const first = Math.min(register, scaleRegister)
  const count = Math.max(register + numberSizes[type], scaleRegister + 1) - first
  if (count <= MAX_COUNT && first + count <= 0x1_0000) return { table, first, count }
  const what =
    count > MAX_COUNT
      ? `its scale register ${scaleRegister} is too far away for one request of ${MAX_COUNT}`
      : 'it ends beyond the last address, 65535'
  throw new CodedError('modbus/bad-table', `${table} register ${register}: ${what}`)
}

function byPlace(a: Block, b: Block): number {
  return a.table === b.table ? a.first - b.first : a.table < b.table ? -1 : 1
}
