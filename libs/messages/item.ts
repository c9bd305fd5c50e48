import { decode, encode, type CborValue } from '#cbor'
import type { Crypto } from '#crypto'
import { codeOf } from '#errors'
import { bytes, code, fieldsOf, integer, malformed, text, typeOf } from './fields.ts'
import { GAP, gapFrom, gapValues, type Gap } from './gap.ts'
import { machineFrom, machineValues, type MachineStatus } from './machine.ts'
import { encodeSummary, summaryFrom, SUMMARY, type Summary } from './summary.ts'

/** A fog's numbered outbox entries, on their way to the cloud. */
export type Item =
  | { type: 'credential'; cwt: Uint8Array }
  | { type: 'summary'; summary: Summary }
  /**
   * A meter's signed statement: COSE_Sign1 with payload (see #reading `verifyRegister`). `from` is
   * the fog's own word: it counts every number of this meter from there to the statement's last, but
   * for those up to `withdrawn`, which it has let go of since.
   */
  | { type: 'register'; envelope: Uint8Array; from?: number; withdrawn?: number }
  | { type: 'event'; event: FogEvent }
  | { type: 'fogStatus'; status: FogStatus }
  | { type: 'withdrawn'; withdrawn: Withdrawn }
  | { type: 'gap'; gap: Gap }

/** What a fog took out of its windows because another one counts it (see `Down` `withdraw`). */
export interface Withdrawn {
  deviceId: string
  /** Where the run of numbers began, and how far of it nothing is counted any more. */
  first: number
  through: number
  /** What this took out: all since the run began. */
  readings: number
  importWh: number
  exportWh: number
}

/** Something an operator may want to know; `deviceId` null when it concerns the fog itself. */
export interface FogEvent {
  code: string
  timeS: number
  deviceId: string | null
  /** Free text for people, at most 512 bytes of UTF-8. */
  detail: string
}

/** Health of a fog node; counters since its start. */
export interface FogStatus {
  timeS: number
  uptimeS: number
  /** Meters ever seen and meters with an open session. */
  metersKnown: number
  metersOnline: number
  /** Durable readings and signed blocks. */
  readings: number
  blocks: number
  /** Messages and blocks of meters not accepted, by reason; at most 64 reasons. */
  refused: Record<string, number>
  /** Entries waiting in the outbox, and bytes of the store. */
  outbox: number
  storeBytes: number
  version: string
  /** Absent where nobody looks, and from releases that did not. */
  machine?: MachineStatus
}

/**
 * Reasons in `FogStatus.refused` after which the meter is asked again: nothing is lost by them, and
 * a healthy fog node has some.
 */
export const askedAgain: ReadonlySet<string> = new Set([
  'early',
  'incomplete',
  'no-base',
  'no-session',
  'overload',
  'undecided',
  'verifier-failed',
])

/** Eight bytes that tell an item from another under the same number. */
export function itemMark(crypto: Pick<Crypto, 'sha256'>, body: Uint8Array): Uint8Array {
  return crypto.sha256(body).slice(0, 8)
}

/** An item as the cloud decodes it: one that cannot be read keeps its place and names the reason. */
export type ReceivedItem = Item | { type: 'unreadable'; code: string }

const CREDENTIAL = 0
const REGISTER = 2
const EVENT = 3
const FOG_STATUS = 4
const WITHDRAWN = 5

/** What describes: all but the credentials and registers that bills rest on. */
export const detailTypes = { summary: SUMMARY, event: EVENT, fogStatus: FOG_STATUS } as const

const DEVICE_ID_BYTES = 32
const DETAIL_BYTES = 512
const VERSION_BYTES = 32
const REASONS = 64

/**
 * An item as a CBOR array [type, …]; throws `messages/malformed` for values that the other side
 * would refuse.
 */
export function encodeItem(item: Item): Uint8Array {
  if (item.type === 'summary') return encodeSummary(item.summary)
  const value = itemValue(item)
  itemFrom(value)
  return encode(value)
}

const isGiven = (value: number | undefined) => value !== undefined

function itemValue(item: Exclude<Item, { type: 'summary' }>): CborValue[] {
  switch (item.type) {
    case 'credential':
      return [CREDENTIAL, item.cwt]
    case 'register':
      return [REGISTER, item.envelope, ...[item.from, item.withdrawn].filter(isGiven)]
    case 'event': {
      const { code: name, timeS, deviceId, detail } = item.event
      return [EVENT, name, timeS, deviceId, detail]
    }
    case 'withdrawn': {
      const { deviceId, first, through, readings, importWh, exportWh } = item.withdrawn
      return [WITHDRAWN, deviceId, first, through, readings, importWh, exportWh]
    }
    case 'gap':
      return gapValues(item.gap)
    default:
      return [FOG_STATUS, ...fogStatusValues(item.status)]
  }
}

/** The mirror of `encodeItem`, from bytes; throws `messages/malformed` or `cbor/…`. */
export function decodeItem(item: Uint8Array): Item {
  return itemFrom(decode(item))
}

/** The mirror of `encodeItem`, from a decoded value. */
export function itemFrom(value: CborValue): Item {
  const type = typeOf(value)
  switch (type) {
    case CREDENTIAL:
      return { type: 'credential', cwt: bytes(fieldsOf(value, 'a credential', 2), 1) }
    case SUMMARY:
      return { type: 'summary', summary: summaryFrom(value) }
    case REGISTER:
      return registerFrom(fieldsOf(value, 'a register', 2, 4))
    case EVENT:
      return { type: 'event', event: eventFrom(fieldsOf(value, 'an event', 5)) }
    case FOG_STATUS:
      return { type: 'fogStatus', status: fogStatusFrom(fieldsOf(value, 'a status', 11, 12)) }
    case WITHDRAWN:
      return { type: 'withdrawn', withdrawn: withdrawnFrom(fieldsOf(value, 'withdrawn', 7)) }
    case GAP:
      return { type: 'gap', gap: gapFrom(value) }
    default:
      throw malformed(`there is no item type ${type}`)
  }
}

/** Like `itemFrom`, but an unreadable item becomes a value with the reason. */
export function receivedItemFrom(value: CborValue): ReceivedItem {
  try {
    return itemFrom(value)
  } catch (error) {
    return { type: 'unreadable', code: codeOf(error) }
  }
}

function registerFrom(f: readonly CborValue[]): Item {
  const register = { type: 'register', envelope: bytes(f, 1) } as const
  if (f.length === 2) return register
  const from = integer(f, 2, 1)
  if (f.length === 3) return { ...register, from }
  const withdrawn = integer(f, 3, 1)
  if (withdrawn < from) throw malformed('a register: withdrawn before the run began')
  return { ...register, from, withdrawn }
}

function withdrawnFrom(f: readonly CborValue[]): Withdrawn {
  const withdrawn = {
    deviceId: text(f, 1, DEVICE_ID_BYTES),
    first: integer(f, 2, 1),
    through: integer(f, 3, 1),
    readings: integer(f, 4),
    importWh: integer(f, 5),
    exportWh: integer(f, 6),
  }
  if (withdrawn.through < withdrawn.first) throw malformed('withdrawn: no range')
  return withdrawn
}

function eventFrom(f: readonly CborValue[]): FogEvent {
  return {
    code: code(f, 1),
    timeS: integer(f, 2),
    deviceId: f[3] === null ? null : text(f, 3, DEVICE_ID_BYTES),
    detail: text(f, 4, DETAIL_BYTES),
  }
}

function fogStatusValues(s: FogStatus): CborValue[] {
  return [
    s.timeS,
    s.uptimeS,
    s.metersKnown,
    s.metersOnline,
    s.readings,
    s.blocks,
    refusedValue(s.refused),
    s.outbox,
    s.storeBytes,
    s.version,
    ...(s.machine === undefined ? [] : [machineValues(s.machine)]),
  ]
}

function fogStatusFrom(f: readonly CborValue[]): FogStatus {
  return {
    timeS: integer(f, 1),
    uptimeS: integer(f, 2),
    metersKnown: integer(f, 3),
    metersOnline: integer(f, 4),
    readings: integer(f, 5),
    blocks: integer(f, 6),
    refused: refusedFrom(f, 7),
    outbox: integer(f, 8),
    storeBytes: integer(f, 9),
    version: text(f, 10, VERSION_BYTES),
    ...(f.length === 12 && { machine: machineFrom(f[11] ?? null) }),
  }
}

/** By code, so that the same counts are the same bytes. */
function refusedValue(refused: FogStatus['refused']): CborValue[] {
  return Object.keys(refused)
    .toSorted()
    .map((reason) => [reason, refused[reason] ?? 0])
}

function refusedFrom(f: readonly CborValue[], index: number): FogStatus['refused'] {
  const pairs = fieldsOf(f[index] ?? null, 'refused', 0, REASONS).map((value): [string, number] => {
    const pair = fieldsOf(value, 'a reason with its count', 2)
    return [code(pair, 0), integer(pair, 1, 1)]
  })
  const sorted = pairs.every(([reason], i) => i === 0 || (pairs[i - 1]?.[0] ?? '') < reason)
  if (!sorted) throw malformed('reasons must be in order, each once')
  return Object.fromEntries(pairs)
}
