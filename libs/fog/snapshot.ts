import { decode, encode, type CborValue } from '#cbor'
import { decodeCredential } from '#credential'
import type { Crypto } from '#crypto'
import { CodedError } from '#errors'
import { registerEnvelope, splitRegister } from '#reading'
import type { RegisterTrack } from '#window'
import { newMeter, type Meter, type PendingRegister, type RecentBlock } from './meter.ts'
import type { MeterRow } from './store.ts'

/** Format of the snapshot, so that a later release can tell. */
const VERSION = 1
/** Recent blocks kept across a restart; repetitions right after one are of the newest blocks. */
const recentKept = 16

/** A meter's state as of a checkpoint: a CBOR array, see `restoreMeter`. */
export function snapshotMeter(meter: Meter): Uint8Array {
  const { durable, energy } = meter
  return encode([
    VERSION,
    durable.number,
    durable.chain,
    durable.importWh,
    durable.exportWh,
    meter.forwarded,
    meter.credentialSent,
    trackValues(energy.import),
    trackValues(energy.export),
    meter.recent.slice(-recentKept).map(({ first, last, chain }) => [first, last, chain]),
    meter.registers.map(registerEnvelope),
  ])
}

/** The mirror of `snapshotMeter`; throws `fog/store-damaged`. */
export function restoreMeter(crypto: Crypto, row: MeterRow): Meter {
  try {
    const meter = newMeter(crypto, decodeCredential(row.credential))
    meter.id = row.id
    meter.storedCredential = row.credential
    if (row.state !== null) fill(meter, decode(row.state))
    return meter
  } catch (error) {
    throw new CodedError(
      'fog/store-damaged',
      `the store's row of meter ${row.deviceId} cannot be read: restore a backup`,
      { cause: error },
    )
  }
}

function fill(meter: Meter, value: CborValue): void {
  const f = list(value)
  if (int(f[0]) !== VERSION) throw new Error(`snapshot version ${int(f[0])}`)
  const chain = f[2]
  meter.durable = {
    number: int(f[1]),
    chain: chain instanceof Uint8Array ? chain : null,
    importWh: intOrNull(f[3]),
    exportWh: intOrNull(f[4]),
  }
  meter.tip = meter.durable
  meter.forwarded = int(f[5])
  meter.credentialSent = f[6] === true
  meter.energy = { import: trackFrom(f[7]), export: trackFrom(f[8]) }
  meter.recent = list(f[9]).map(recentFrom)
  meter.registers = list(f[10]).map((envelope) => registerFrom(bytes(envelope)))
}

function trackValues({ baseWh, low }: RegisterTrack): (number | null)[] {
  return low === null ? [baseWh] : [baseWh, low.valueWh, low.readings]
}

function trackFrom(value: CborValue | undefined): RegisterTrack {
  const [baseWh, valueWh, readings] = list(value)
  const low = valueWh === undefined ? null : { valueWh: int(valueWh), readings: int(readings) }
  return { baseWh: intOrNull(baseWh), low }
}

function recentFrom(value: CborValue): RecentBlock {
  const [first, last, chain] = list(value)
  return { first: int(first), last: int(last), chain: bytes(chain) }
}

function registerFrom(envelope: Uint8Array): PendingRegister {
  const { statement, signature } = splitRegister(envelope)
  const { last, endTimeS } = statement
  return { last, endTimeS, statement, signature }
}

function list(value: CborValue | undefined): CborValue[] {
  if (Array.isArray(value)) return value
  throw new Error('not an array')
}

function int(value: CborValue | undefined): number {
  if (typeof value === 'number') return value
  throw new Error('not an integer')
}

function intOrNull(value: CborValue | undefined): number | null {
  return value === null ? null : int(value)
}

function bytes(value: CborValue | undefined): Uint8Array {
  if (value instanceof Uint8Array) return value
  throw new Error('not bytes')
}
