import { decode, encode, type CborValue } from '#cbor'
import { codeOf } from '#errors'
import { bytes, code, fieldsOf, integer, malformed, text, typeOf } from './fields.ts'
import { encodeSummary, summaryFrom, SUMMARY, type Summary } from './summary.ts'

/** A fog's numbered outbox entries, on their way to the cloud. */
export type Item =
  | { type: 'credential'; cwt: Uint8Array }
  | { type: 'summary'; summary: Summary }
  /** A meter's signed statement: COSE_Sign1 with payload (see #reading `verifyRegister`). */
  | { type: 'register'; envelope: Uint8Array }
  | { type: 'event'; event: FogEvent }
  | { type: 'fogStatus'; status: FogStatus }

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
  /** Durable readings and signed blocks; refused messages of any kind. */
  readings: number
  blocks: number
  refused: number
  /** Entries waiting in the outbox, and bytes of the store. */
  outbox: number
  storeBytes: number
  version: string
}

/** An item as the cloud decodes it: one that cannot be read keeps its place and names the reason. */
export type ReceivedItem = Item | { type: 'unreadable'; code: string }

const CREDENTIAL = 0
const REGISTER = 2
const EVENT = 3
const FOG_STATUS = 4

/** What describes: all but the credentials and registers that bills rest on. */
export const detailTypes = { summary: SUMMARY, event: EVENT, fogStatus: FOG_STATUS } as const

const DEVICE_ID_BYTES = 32
const DETAIL_BYTES = 512
const VERSION_BYTES = 32

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

function itemValue(item: Exclude<Item, { type: 'summary' }>): CborValue[] {
  switch (item.type) {
    case 'credential':
      return [CREDENTIAL, item.cwt]
    case 'register':
      return [REGISTER, item.envelope]
    case 'event': {
      const { code: name, timeS, deviceId, detail } = item.event
      return [EVENT, name, timeS, deviceId, detail]
    }
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
      return { type: 'register', envelope: bytes(fieldsOf(value, 'a register', 2), 1) }
    case EVENT:
      return { type: 'event', event: eventFrom(fieldsOf(value, 'an event', 5)) }
    case FOG_STATUS:
      return { type: 'fogStatus', status: fogStatusFrom(fieldsOf(value, 'a status', 11)) }
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
    s.refused,
    s.outbox,
    s.storeBytes,
    s.version,
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
    refused: integer(f, 7),
    outbox: integer(f, 8),
    storeBytes: integer(f, 9),
    version: text(f, 10, VERSION_BYTES),
  }
}
