import { addChecksum, dropChecksum } from '#bytes'
import { decode, encode, type CborValue } from '#cbor'
import { decodeCredential } from '#credential'
import type { Crypto } from '#crypto'
import { CodedError } from '#errors'
import { registerEnvelope, splitRegister } from '#reading'
import type { RegisterTrack } from '#window'
import { bytes, int, intOrNull, list } from './snapshot-values.ts'
import { fillTime, timeValues } from './snapshot-time.ts'
import { newMeter, type Meter, type PendingRegister, type RecentBlock, type Run } from './meter.ts'
import type { MeterRow } from './store.ts'

/** Format of the snapshot, so that a later release can tell. */
const VERSION = 2
/**
 * More than a snapshot can have: 64 statements full of skipped ranges, and all the readings a meter may
 * keep waiting.
 */
const mostBytes = 1_048_576
/** Recent blocks kept across a restart; repetitions right after one are of the newest blocks. */
const recentKept = 16

/** A meter's state as of a checkpoint: a CBOR array, see `restoreMeter`. */
export function snapshotMeter(meter: Meter, nowMs: number): Uint8Array {
  const { durable, energy } = meter
  const values = encode([
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
    meter.registers.map(registerValue),
    meter.stated && registerValue(meter.stated),
    meter.runs.map(runValues),
    meter.countedS,
    timeValues(meter, nowMs),
  ])
  return addChecksum(values)
}

/** The mirror of `snapshotMeter`; throws `fog/store-damaged`. */
export function restoreMeter(crypto: Crypto, row: MeterRow, nowMs: number): Meter {
  try {
    const meter = newMeter(crypto, decodeCredential(row.credential))
    meter.id = row.id
    meter.storedCredential = row.credential
    if (row.state !== null) fill(meter, decodedState(row.state), nowMs)
    return meter
  } catch (error) {
    throw new CodedError(
      'fog/store-damaged',
      `the store's row of meter ${row.deviceId} cannot be read: restore a backup`,
      { cause: error },
    )
  }
}

const decodedState = (state: Uint8Array) => decode(dropChecksum(state), { size: mostBytes })

function fill(meter: Meter, value: CborValue, nowMs: number): void {
  const f = list(value)
  const version = int(f[0])
  if (version > VERSION) throw new Error(`snapshot version ${version}`)
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
  if (version === 1) {
    meter.registers = list(f[10]).map((envelope) => registerFrom([envelope, null], nowMs))
    return
  }
  meter.registers = list(f[10]).map((register) => registerFrom(register, nowMs))
  const stated = f[11] ?? null
  meter.stated = stated === null ? null : registerFrom(stated, nowMs)
  meter.runs = list(f[12]).map(runFrom)
  meter.countedS = int(f[13])
  fillTime(meter, f[14], nowMs)
}

function registerValue(register: PendingRegister): CborValue[] {
  return [registerEnvelope(register), register.from, register.startTimeS]
}

function runValues(run: Run): CborValue[] {
  const { first, groupId, energy, beforeS, withdrawn, ended, continuous } = run
  const { readings, importWh, exportWh } = run.taken
  const tracks = [trackValues(energy.import), trackValues(energy.export)]
  const taken = [readings, importWh, exportWh]
  return [first, groupId, ...tracks, beforeS, withdrawn, ...taken, ended, continuous]
}

function runFrom(value: CborValue): Run {
  const f = list(value)
  return {
    first: int(f[0]),
    groupId: int(f[1]),
    energy: { import: trackFrom(f[2]), export: trackFrom(f[3]) },
    beforeS: int(f[4]),
    withdrawn: int(f[5]),
    taken: { readings: int(f[6]), importWh: int(f[7]), exportWh: int(f[8]) },
    ended: f[9] === true,
    continuous: f[10] === true,
  }
}

function trackValues({ baseWh, low, left }: RegisterTrack): (number | null)[] {
  const values = [baseWh, low?.valueWh ?? null, low?.readings ?? null]
  if (left !== null) return [...values, left.fromWh, left.toWh, left.countedWh]
  return low === null ? [baseWh] : values
}

function trackFrom(value: CborValue | undefined): RegisterTrack {
  const [baseWh, valueWh, readings, fromWh, toWh, countedWh] = list(value)
  const low = valueWh == null ? null : { valueWh: int(valueWh), readings: int(readings) }
  const left =
    fromWh === undefined
      ? null
      : { fromWh: int(fromWh), toWh: int(toWh), countedWh: int(countedWh) }
  return { baseWh: intOrNull(baseWh), low, left }
}

function recentFrom(value: CborValue): RecentBlock {
  const [first, last, chain] = list(value)
  return { first: int(first), last: int(last), chain: bytes(chain) }
}

function registerFrom(value: CborValue, notedMs: number): PendingRegister {
  const f = list(value)
  const { statement, signature } = splitRegister(bytes(f[0]))
  const { last, endTimeS } = statement
  const startTimeS = f[2] === undefined ? statement.startTimeS : int(f[2])
  return { last, startTimeS, endTimeS, statement, signature, from: intOrNull(f[1]), notedMs }
}
