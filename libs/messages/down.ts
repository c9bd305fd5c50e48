import { decode, encode, type CborValue } from '#cbor'
import { bytes, code, fieldsOf, integer, malformed, text, typeOf, type Fields } from './fields.ts'

/** From responder (fog, cloud) to initiator (meter, fog). */
export type Down =
  /** Answer to `hello`: everything up to `durable` is stored here. */
  | {
      type: 'welcome'
      durable: number
      /** A cloud's, eight bytes: made with its database and copied with it, to tell it from others. */
      database?: Uint8Array
      /** With it: `itemMark` of what is stored under number `durable`, empty where that is nothing. */
      newest?: Uint8Array
    }
  | { type: 'receipt'; durable: number }
  /** `first`..`last` will never be accepted; `code` says why. Do not send them again. */
  | { type: 'refused'; first: number; last: number; code: string }
  /** Send again, starting with number `from`. */
  | { type: 'resend'; from: number }
  /**
   * To a fog: another node counts these numbers of a meter too. Of the run that began with `first`,
   * count nothing up to `through`, and say so by a `withdrawn` item.
   */
  | { type: 'withdraw'; deviceId: string; first: number; through: number }
  /** To a fog: a register cannot be verified here without this meter's credential. */
  | { type: 'unknown'; deviceId: string }
  /** A signed revocation list (#credential). */
  | { type: 'revocations'; list: Uint8Array }
  /** This channel ends now, and `code` says why: nothing more is read from it. */
  | { type: 'ended'; code: string }

const WELCOME = 0
const RECEIPT = 1
const REFUSED = 2
const RESEND = 3
const REVOCATIONS = 4
const ENDED = 5
const WITHDRAW = 6
const UNKNOWN = 7

/** A down message as a CBOR array [type, …]; throws `messages/malformed` for impossible values. */
export function encodeDown(message: Down): Uint8Array {
  const value = downValue(message)
  downFrom(value)
  return encode(value)
}

function downValue(message: Down): CborValue[] {
  switch (message.type) {
    case 'welcome':
      return welcomeValue(message)
    case 'receipt':
      return [RECEIPT, message.durable]
    case 'refused':
      return [REFUSED, message.first, message.last, message.code]
    case 'resend':
      return [RESEND, message.from]
    case 'withdraw':
      return [WITHDRAW, message.deviceId, message.first, message.through]
    case 'unknown':
      return [UNKNOWN, message.deviceId]
    case 'revocations':
      return [REVOCATIONS, message.list]
    default:
      return [ENDED, message.code]
  }
}

/** The mirror of `encodeDown`; throws `messages/malformed` or `cbor/…`. */
export function decodeDown(message: Uint8Array): Down {
  return downFrom(decode(message))
}

function downFrom(value: CborValue): Down {
  const type = typeOf(value)
  switch (type) {
    case WELCOME:
      return welcomeFrom(fieldsOf(value, 'welcome', 2, 4))
    case RECEIPT:
      return { type: 'receipt', durable: integer(fieldsOf(value, 'receipt', 2), 1) }
    case REFUSED:
      return refusedFrom(value)
    case RESEND:
      return { type: 'resend', from: integer(fieldsOf(value, 'resend', 2), 1, 1) }
    case REVOCATIONS:
      return { type: 'revocations', list: bytes(fieldsOf(value, 'revocations', 2), 1) }
    case ENDED:
      return { type: 'ended', code: code(fieldsOf(value, 'ended', 2), 1) }
    case WITHDRAW:
      return withdrawFrom(fieldsOf(value, 'withdraw', 4))
    case UNKNOWN:
      return { type: 'unknown', deviceId: text(fieldsOf(value, 'unknown', 2), 1, 32) }
    default:
      throw malformed(`there is no message type ${type}`)
  }
}

function welcomeValue({ durable, database, newest }: Down & { type: 'welcome' }): CborValue[] {
  if (database === undefined) return [WELCOME, durable]
  return [WELCOME, durable, database, newest ?? new Uint8Array()]
}

function welcomeFrom(f: Fields): Down {
  const welcome = { type: 'welcome', durable: integer(f, 1) } as const
  if (f.length === 2) return welcome
  const [database, newest] = [bytes(f, 2), bytes(f, 3)]
  if (database.length !== 8) throw malformed('welcome: a database has 8 bytes')
  if (newest.length !== 0 && newest.length !== 8) throw malformed('welcome: a mark has 8 bytes')
  return { ...welcome, database, newest }
}

function withdrawFrom(f: Fields): Down {
  const [deviceId, first, through] = [text(f, 1, 32), integer(f, 2, 1), integer(f, 3, 1)]
  if (through < first) throw malformed(`withdraw: ${first} to ${through} is no range`)
  return { type: 'withdraw', deviceId, first, through }
}

function refusedFrom(value: CborValue): Down {
  const f = fieldsOf(value, 'refused', 4)
  const [first, last] = [integer(f, 1, 1), integer(f, 2, 1)]
  if (last < first) throw malformed(`refused: ${first} to ${last} is no range`)
  return { type: 'refused', first, last, code: code(f, 3) }
}
