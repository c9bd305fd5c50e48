import { codeOf, CodedError } from '#errors'
import { obis, phases } from './obis.ts'
import type { Block, Device, ReadRegisters, Row } from './types.ts'

/** "SunS", and where it may stand (SunSpec Device Information Model §"Modbus"). */
const MARKER = [0x5375, 0x6e53]
const BASES = [40_000, 50_000, 0]
/** The identifier behind the last model. */
const END = 0xffff
/** No device has so many; a map that goes on is no map. */
const MAX_MODELS = 100
const COMMON = 1

/** Single, split, wye and delta connection: 201 to 204 in integers, 211 to 214 in floats. */
const integerModels = new Set([201, 202, 203, 204])
const floatModels = new Set([211, 212, 213, 214])

/** A model as it stands in the map: identifier and length, and `length` more registers. */
interface Model {
  id: number
  first: number
  length: number
}

/** Who made the device, and its number (model 1). */
interface Maker {
  maker: string | null
  meterId: string | null
}

/**
 * The first meter in the device's map: looks for the marker, then goes from model to model. Rejects
 * as `read`, and with `modbus/not-sunspec`, `modbus/no-meter` or `modbus/bad-map`.
 */
export async function findSunspec(read: ReadRegisters): Promise<Device> {
  let maker: Maker = { maker: null, meterId: null }
  const passed: number[] = []
  for await (const model of modelsFrom(read, (await baseOf(read)) + MARKER.length)) {
    if (model.id === COMMON) maker = await makerFrom(read, model)
    const device = meterIn(model)
    if (device !== null) return { ...maker, ...device }
    passed.push(model.id)
  }
  throw new CodedError(
    'modbus/no-meter',
    `the device has the SunSpec models ${passed.join(', ')}, and no meter (201 to 204, 211 to 214): ` +
      'behind an inverter a meter may have a unit number of its own',
  )
}

async function baseOf(read: ReadRegisters): Promise<number> {
  for (const base of BASES) {
    const words = await orNone(read('holding', base, MARKER.length))
    if (words !== null && MARKER.every((word, i) => words[i] === word)) return base
  }
  throw new CodedError(
    'modbus/not-sunspec',
    `"SunS" stands at none of ${BASES.join(', ')}: is SunSpec switched on, is the unit number right?`,
  )
}

async function* modelsFrom(read: ReadRegisters, first: number): AsyncGenerator<Model, void> {
  let at = first
  for (let count = 0; count < MAX_MODELS; count++) {
    // Some devices have nothing behind their last model, not even its end.
    const header = at + 2 > 0x1_0000 ? null : await orNone(read('holding', at, 2))
    const [id = END, length = 0] = header ?? []
    if (id === END) return
    yield { id, first: at, length }
    at += 2 + length
  }
  throw new CodedError('modbus/bad-map', `the map goes on behind ${MAX_MODELS} models`)
}

async function orNone(words: Promise<readonly number[]>): Promise<readonly number[] | null> {
  try {
    return await words
  } catch (error) {
    if (codeOf(error) === 'modbus/refused') return null
    throw error
  }
}

/** Model 1: manufacturer at 2, model at 18, serial number at 50, of 16 registers each. */
async function makerFrom(read: ReadRegisters, { first, length }: Model): Promise<Maker> {
  if (length < 64) throw tooShort({ id: COMMON, first, length })
  const [who, what, number] = [
    textFrom(await read('holding', first + 2, 16)),
    textFrom(await read('holding', first + 18, 16)),
    textFrom(await read('holding', first + 50, 16)),
  ]
  const maker = [who, what].filter((part) => part !== '').join(' ')
  return { maker: maker === '' ? null : maker, meterId: number === '' ? null : number }
}

/** Two characters a register, filled up with zeros or spaces. */
function textFrom(words: readonly number[]): string {
  const bytes = words.flatMap((word) => [word >> 8, word & 0xff])
  const end = bytes.indexOf(0)
  return String.fromCharCode(...(end < 0 ? bytes : bytes.slice(0, end))).trim()
}

/** Null when the model is not a meter's. */
function meterIn(model: Model): Pick<Device, 'rows' | 'blocks' | 'proof'> | null {
  const { id, first, length } = model
  const kind = integerModels.has(id) ? integers : floatModels.has(id) ? floats : null
  if (kind === null) return null
  if (kind.blocks.some((block) => block.first + block.count > 2 + length)) throw tooShort(model)
  const rows = kind.rows.map((row) => moved(row, first))
  const blocks = kind.blocks.map((block) => ({ ...block, first: block.first + first }))
  return { rows, blocks, proof: { first, words: [id, length] } }
}

function tooShort({ id, first, length }: Model): CodedError {
  const message = `model ${id} at ${first} has ${length} registers, which is not enough for it`
  return new CodedError('modbus/bad-map', message)
}

function moved(row: Row, by: number): Row {
  const { register, scaleRegister } = row
  const scale = scaleRegister === undefined ? {} : { scaleRegister: scaleRegister + by }
  return { ...row, register: register + by, ...scale }
}

type Layout = { rows: readonly Row[]; blocks: readonly Block[] }

/** Offsets in models 201 to 204 (github.com/sunspec/models, json/model_203.json), with the header. */
const integers: Layout = {
  rows: [
    ...phases.flatMap((phase) => [
      integer(3 + phase, 6, obis.current(phase), 'A'),
      integer(8 + phase, 15, obis.voltage(phase), 'V'),
      integer(19 + phase, 22, obis.phasePower(phase), 'W'),
    ]),
    integer(18, 22, obis.power, 'W'),
    { ...integer(38, 54, obis.exportWh, 'Wh'), type: 'acc32' },
    { ...integer(46, 54, obis.importWh, 'Wh'), type: 'acc32' },
  ],
  // In one request: a device may change a scale factor whenever it likes.
  blocks: [{ table: 'holding', first: 0, count: 55 }],
}

/** Offsets in models 211 to 214 (json/model_213.json). */
const floats: Layout = {
  rows: [
    ...phases.flatMap((phase) => [
      float(4 + 2 * phase, obis.current(phase), 'A'),
      float(12 + 2 * phase, obis.voltage(phase), 'V'),
      float(30 + 2 * phase, obis.phasePower(phase), 'W'),
    ]),
    float(28, obis.power, 'W'),
    float(60, obis.exportWh, 'Wh'),
    float(68, obis.importWh, 'Wh'),
  ],
  blocks: [
    { table: 'holding', first: 0, count: 36 },
    { table: 'holding', first: 60, count: 10 },
  ],
}

function integer(register: number, scaleRegister: number, code: string, unit: string): Row {
  return { table: 'holding', register, type: 'int16', scaleRegister, code, unit }
}

function float(register: number, code: string, unit: string): Row {
  return { table: 'holding', register, type: 'float32', code, unit }
}
