import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { ServerTCP } from 'modbus-serial'
import { freePorts } from '../../apps/demo/ports.ts'

/** Registers of a device by address; what is not there is refused with exception 2. */
export interface Registers {
  input: Map<number, number>
  holding: Map<number, number>
}

/** A device's registers, and how it answers. */
export interface ModbusDevice extends Registers {
  /** Every question is refused with this exception. */
  exception: number | null
  /** What was asked for, one register after another: `input 52`. */
  asked: string[]
}

export function modbusDevice(registers: Partial<Registers> = {}): ModbusDevice {
  return { input: new Map(), holding: new Map(), exception: null, asked: [], ...registers }
}

/** What modbus-serial's servers want to know. */
export function vectorOf(device: ModbusDevice) {
  const get = (table: keyof Registers) => (address: number) => {
    device.asked.push(`${table} ${address}`)
    const word = device[table].get(address)
    if (device.exception !== null || word === undefined) {
      // It takes the exception from whatever is thrown.
      throw Object.assign(new Error('refused'), { modbusErrorCode: device.exception ?? 2 })
    }
    return word
  }
  return { getInputRegister: get('input'), getHoldingRegister: get('holding') }
}

export interface ModbusServer {
  port: number
  close(): Promise<void>
}

/** modbus-serial's own server on loopback. It answers `unit` only. */
export async function startModbus(
  device: ModbusDevice,
  { port, unit = 1 }: { port?: number; unit?: number } = {},
): Promise<ModbusServer> {
  const at = port ?? (await freePorts(1))[0]!
  const server = new ServerTCP(vectorOf(device), { host: '127.0.0.1', port: at, unitID: unit })
  await once(server, 'initialized')
  return {
    port: at,
    close: () => new Promise((resolve) => server.close(() => resolve())),
  }
}

/** What becomes of the n-th answer: other bytes, or none; `cut` ends the connection behind them. */
export type Mangle = (
  answer: Buffer,
  n: number,
) => { bytes: Buffer; cut?: boolean; lateMs?: number }

/** A relay in front of a server that does something to its answers. */
export async function startMangler(target: number, mangle: Mangle): Promise<ModbusServer> {
  const sockets = new Set<Socket>()
  let count = 0
  const server = createServer((near) => {
    const far = connect(target, '127.0.0.1')
    for (const socket of [near, far]) {
      sockets.add(socket)
      socket.on('error', () => undefined)
      socket.on('close', () => (near.destroy(), far.destroy()))
    }
    near.pipe(far)
    far.on('data', (answer: Buffer) => {
      const { bytes, cut = false, lateMs = 0 } = mangle(answer, count++)
      setTimeout(() => (cut ? near.end(bytes) : near.write(bytes)), lateMs)
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    async close() {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

/** A float as two registers, the high one first. */
export function floatWords(value: number): [number, number] {
  const view = new DataView(new ArrayBuffer(4))
  view.setFloat32(0, value)
  return [view.getUint16(0), view.getUint16(2)]
}

/** Registers from lists of words at their addresses. */
export function wordsAt(...parts: (readonly [first: number, ...words: number[]])[]) {
  const map = new Map<number, number>()
  for (const [first, ...words] of parts) words.forEach((word, i) => map.set(first + i, word))
  return map
}

/** Registers 1 to 30 and so on as Eastron's documents list them: 3X numbers, so address + 30001. */
export function sdmInputs(values: Readonly<Record<number, number>>): Map<number, number> {
  return wordsAt(
    ...Object.entries(values).map(
      ([number, value]) => [Number(number) - 30_001, ...floatWords(value)] as const,
    ),
  )
}

/** The points of models 201 to 204 in their order; a number behind a name is its size. */
const integerPoints =
  'ID L A AphA AphB AphC A_SF PhV PhVphA PhVphB PhVphC PPV PPVphAB PPVphBC PPVphCA V_SF Hz Hz_SF ' +
  'W WphA WphB WphC W_SF VA VAphA VAphB VAphC VA_SF VAR VARphA VARphB VARphC VAR_SF ' +
  'PF PFphA PFphB PFphC PF_SF TotWhExp:2 TotWhExpPhA:2 TotWhExpPhB:2 TotWhExpPhC:2 ' +
  'TotWhImp:2 TotWhImpPhA:2 TotWhImpPhB:2 TotWhImpPhC:2 TotWh_SF TotVAh:32 TotVAh_SF TotVArh:16 ' +
  'Rest:1'
/** Of models 211 to 214. */
const floatPoints =
  'ID L A:2 AphA:2 AphB:2 AphC:2 PhV:2 PhVphA:2 PhVphB:2 PhVphC:2 PPV:2 PPVphAB:2 PPVphBC:2 ' +
  'PPVphCA:2 Hz:2 W:2 WphA:2 WphB:2 WphC:2 VA:2 VAphA:2 VAphB:2 VAphC:2 VAR:2 VARphA:2 VARphB:2 ' +
  'VARphC:2 PF:2 PFphA:2 PFphB:2 PFphC:2 TotWhExp:2 TotWhExpPhA:2 TotWhExpPhB:2 TotWhExpPhC:2 ' +
  'TotWhImp:2 TotWhImpPhA:2 TotWhImpPhB:2 TotWhImpPhC:2 Rest:48'

/** A meter's model, header included; points that are not given are "not implemented". */
export function meterModel(id: number, values: Readonly<Record<string, number>>): number[] {
  const isFloat = id > 210
  const words = (isFloat ? floatPoints : integerPoints).split(' ').flatMap((point) => {
    const [name = '', size = '1'] = point.split(':')
    const value = name === 'ID' ? id : values[name]
    if (value === undefined) return absent(Number(size), isFloat)
    if (isFloat && size === '2') return floatWords(value)
    return size === '2' ? [Math.floor(value / 0x1_0000), value % 0x1_0000] : [value & 0xffff]
  })
  words[1] = words.length - 2
  return words
}

/** Not a number; of integers the lowest one, of accumulators zero. */
function absent(size: number, isFloat: boolean): number[] {
  if (isFloat) return [0x7fc0, ...Array.from({ length: size - 1 }, () => 0)]
  return size === 1 ? [0x8000] : Array.from({ length: size }, () => 0)
}

/** Two characters a register, filled up with zeros. */
function textWords(value: string, count: number): number[] {
  const bytes = Buffer.alloc(2 * count)
  bytes.write(value, 'latin1')
  return Array.from({ length: count }, (_, i) => bytes.readUInt16BE(2 * i))
}

/** The common model: who made the device. */
export function commonModel(maker: string, model: string, serial: string): number[] {
  const words = [
    textWords(maker, 16),
    textWords(model, 16),
    textWords('', 8),
    textWords('1.0', 8),
    textWords(serial, 16),
  ]
  return [1, 66, ...words.flat(), 1, 0x8000]
}

/** A whole map: the marker, the models, the end. */
export function sunspecMap(base: number, ...models: number[][]): Map<number, number> {
  return wordsAt([base, 0x5375, 0x6e53, ...models.flat(), 0xffff, 0])
}
