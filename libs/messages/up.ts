import { concat } from '#bytes'
import { decode, decodeInts, encode, shortLived, type CborValue } from '#cbor'
import {
  anchorFrom,
  anchorValues,
  checkReading,
  readingFromValues,
  readingValues,
  skippedFrom,
  type Anchor,
  type Reading,
  type SkippedRange,
} from '#reading'
import { bytes, encodeTypedInts, fieldsOf, integer, malformed, type Fields } from './fields.ts'
import { encodeItem, receivedItemFrom, type Item, type ReceivedItem } from './item.ts'

/** From initiator (meter, fog) to responder (fog, cloud). */
export type Up =
  /**
   * "I hold from `oldestHeld` on; everything below was receipted or given up; `next` is my next
   * number." A fog names the store these numbers belong to: another one counts from 1 again.
   */
  | { type: 'hello'; oldestHeld: number; next: number; store?: number }
  /** A reading as differences to the previous one: see #reading `encodeLive` / `decodeLive`. */
  | { type: 'live'; values: (number | null)[] }
  /** The signature over live readings `first`..`last` sent before. */
  | {
      type: 'block'
      first: number
      last: number
      skipped: SkippedRange[]
      signature: Uint8Array
      anchor?: Anchor
    }
  /** A whole block; `body` is #reading `encodeBlock`, to be decoded with `decodeBlock(body, deviceId)`. */
  | { type: 'report'; body: Uint8Array }
  /**
   * Outbox entries numbered `first`, `first + 1`, … With `gapFrom`, the numbers from there up to
   * `first` − 1 were given up and will not come.
   */
  | { type: 'items'; first: number; items: Item[]; gapFrom?: number }
  /** A reading in full, needing no predecessor: the first live reading after a session opens. */
  | { type: 'reading'; reading: Reading }
  /** The answer to `unknown`: a meter's credential, outside the numbers. */
  | { type: 'credential'; cwt: Uint8Array }

/** `Up` as decoded: single items may be unreadable without spoiling the rest. */
export type ReceivedUp =
  | Exclude<Up, { type: 'items' }>
  | { type: 'items'; first: number; items: ReceivedItem[]; gapFrom?: number }

const HELLO = 0
const LIVE = 1
const BLOCK = 2
const REPORT = 3
const ITEMS = 4
const READING = 5
const CREDENTIAL = 6

/** Most items in one message. */
export const MAX_ITEMS = 128

/** The initial byte of a CBOR array of `length` < 24 elements. */
const arrayHead = (length: number): number => 0x80 | length
/** Parts of a block's body: four, and a fifth where it carries an anchor. */
const bodyLengths: readonly number[] = [4, 5]

/**
 * An up message as a CBOR array [type, …]. Throws `messages/malformed` or `reading/…` for values
 * the other side would refuse.
 */
export function encodeUp(message: Up): Uint8Array {
  switch (message.type) {
    case 'hello':
      return encodeHello(message)
    case 'live':
      return encodeTypedInts(LIVE, message.values)
    case 'block':
      return encodeBlockMessage(message)
    case 'report':
      return encodeReport(message.body)
    case 'items':
      return encodeItems(message.first, message.items.map(encodeItem), message.gapFrom ?? null)
    case 'credential':
      return encode([CREDENTIAL, message.cwt])
    default:
      return encodeTypedInts(READING, readingValues(checkReading(message.reading)))
  }
}

/**
 * The mirror of `encodeUp`. The values of `live` and the body of `report` are left to #reading.
 * Throws `messages/malformed`, `reading/…` or `cbor/…`.
 */
export function decodeUp(message: Uint8Array): ReceivedUp {
  // Types are small integers, so the second byte tells which decoder to take.
  switch (message[1]) {
    case LIVE:
      return { type: 'live', values: decodeInts(message).slice(1) }
    case READING:
      return { type: 'reading', reading: readingFromValues(decodeInts(message).slice(1)) }
    case REPORT:
      return decodeReport(message)
    default:
      return decodeOther(decode(message))
  }
}

function decodeOther(value: CborValue): ReceivedUp {
  const type = Array.isArray(value) ? value[0] : null
  switch (type) {
    case HELLO:
      return helloFrom(fieldsOf(value, 'hello', 3, 4))
    case BLOCK:
      return blockFrom(fieldsOf(value, 'block', 5, 6))
    case ITEMS:
      return itemsFrom(fieldsOf(value, 'items', 3, 4))
    case CREDENTIAL:
      return { type: 'credential', cwt: bytes(fieldsOf(value, 'credential', 2), 1) }
    default:
      throw malformed('not a message to this side')
  }
}

function encodeHello({ oldestHeld, next, store }: Up & { type: 'hello' }): Uint8Array {
  return encodeTypedInts(
    HELLO,
    store === undefined ? [oldestHeld, next] : [oldestHeld, next, store],
  )
}

function helloFrom(f: Fields): ReceivedUp {
  const [oldestHeld, next] = [integer(f, 1, 1), integer(f, 2, 1)]
  if (oldestHeld > next) throw malformed('hello: the oldest held number lies after the next one')
  const hello = { type: 'hello', oldestHeld, next } as const
  return f.length === 3 ? hello : { ...hello, store: integer(f, 3, 1) }
}

function encodeBlockMessage(message: Up & { type: 'block' }): Uint8Array {
  const { first, last, skipped, signature, anchor } = message
  const value: CborValue[] = [BLOCK, first, last, skipped, signature]
  if (anchor !== undefined) value.push(anchorValues(anchor))
  blockFrom(value)
  return encode(value)
}

function blockFrom(f: Fields): ReceivedUp & { type: 'block' } {
  const [first, last] = [integer(f, 1, 1), integer(f, 2, 1)]
  const signature = bytes(f, 4)
  if (last < first) throw malformed(`block: ${first} to ${last} is no range`)
  if (signature.length !== 64) throw malformed('block: a signature has 64 bytes')
  const anchor = f.length === 6 ? { anchor: anchorFrom(f[5]) } : {}
  return { type: 'block', first, last, skipped: skippedFrom(f[3]), signature, ...anchor }
}

/** [3, …body]: the body's own array head is replaced by one for an array longer by the type. */
function encodeReport(body: Uint8Array): Uint8Array {
  const length = bodyLengths.find((parts) => body[0] === arrayHead(parts))
  if (length === undefined) throw malformed('report: not a block body')
  return concat(Uint8Array.of(arrayHead(length + 1), REPORT), body.subarray(1))
}

function decodeReport(message: Uint8Array): ReceivedUp {
  const length = bodyLengths.find((parts) => message[0] === arrayHead(parts + 1))
  if (length === undefined) throw malformed('report: a report has five or six elements')
  const body = shortLived(message.length - 1)
  body[0] = arrayHead(length)
  body.set(message.subarray(2), 1)
  return { type: 'report', body }
}

/** An `items` message from items encoded before, e.g. as an outbox holds them. */
export function encodeItems(
  first: number,
  encodedItems: readonly Uint8Array[],
  gapFrom: number | null = null,
): Uint8Array {
  const count = encodedItems.length
  if (count < 1 || count > MAX_ITEMS) throw malformed(`items: 1 to ${MAX_ITEMS}, not ${count}`)
  if (gapFrom !== null) checkGap(gapFrom, first)
  const head = encodeTypedInts(ITEMS, [first])
  head[0] = arrayHead(gapFrom === null ? 3 : 4)
  const list = count < 24 ? [arrayHead(count)] : [0x98, count]
  const tail = gapFrom === null ? new Uint8Array() : encode(gapFrom)
  return concat(head, Uint8Array.from(list), ...encodedItems, tail)
}

function checkGap(gapFrom: number, first: number): void {
  if (gapFrom >= first) throw malformed('items: a gap lies before the first item')
}

function itemsFrom(f: Fields): ReceivedUp {
  const first = integer(f, 1, 1)
  const list = f[2]
  if (!Array.isArray(list) || list.length < 1 || list.length > MAX_ITEMS) {
    throw malformed(`items: must carry 1 to ${MAX_ITEMS} items`)
  }
  if (first > Number.MAX_SAFE_INTEGER - list.length) throw malformed('items: number too large')
  const items = list.map(receivedItemFrom)
  if (f.length === 3) return { type: 'items', first, items }
  const gapFrom = integer(f, 3, 1)
  checkGap(gapFrom, first)
  return { type: 'items', first, items, gapFrom }
}
