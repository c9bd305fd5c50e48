/** What a frame of the log holds: a list of changes that happen together or not at all, in CBOR. */
import { decode, encode } from '#cbor'
import { CodedError } from '#errors'

/** Everything but the blocks, and how many sectors back the oldest block may be. */
export interface Checkpoint {
  span: number
  head: Uint8Array | null
  next: number
  through: number
  open: Uint8Array[]
  notes: Map<string, Uint8Array>
}

export type Op =
  | { type: 'checkpoint'; state: Checkpoint }
  | { type: 'append'; number: number; record: Uint8Array }
  | { type: 'seal'; first: number; last: number; body: Uint8Array; head: Uint8Array }
  | { type: 'restart'; head: Uint8Array; next: number }
  /** A block that moved or, `thin`, lost its readings. */
  | { type: 'hold'; first: number; last: number; body: Uint8Array; thin: boolean }
  | { type: 'refuse'; last: number }
  | { type: 'through'; number: number }
  | { type: 'note'; name: string; value: Uint8Array }

type Row = Parameters<typeof encode>[0]

export function encodeOps(ops: readonly Op[]): Uint8Array {
  return encode(ops.map(rowOf))
}

function rowOf(op: Op): Row {
  switch (op.type) {
    case 'checkpoint': {
      const { span, head, next, through, open, notes } = op.state
      return [0, span, head, next, through, open, notes]
    }
    case 'append':
      return [1, op.number, op.record]
    case 'seal':
      return [2, op.first, op.last, op.body, op.head]
    case 'restart':
      return [3, op.head, op.next]
    case 'hold':
      return [4, op.first, op.last, op.body, op.thin]
    case 'refuse':
      return [5, op.last]
    case 'through':
      return [6, op.number]
    default:
      return [7, op.name, op.value]
  }
}

/** The mirror of `encodeOps`. Throws `meter/store-damaged`, though a checksum vouched for the bytes. */
export function decodeOps(bytes: Uint8Array): Op[] {
  const rows = decode(bytes)
  if (!Array.isArray(rows)) throw strange()
  return rows.map((row) => opOf(row))
}

/** Written by us and checked by a checksum: only the kind is looked at. */
function opOf(row: Row): Op {
  if (!Array.isArray(row)) throw strange()
  const [kind, a, b, c, d, e, f] = row as [number, ...never[]]
  switch (kind) {
    case 0:
      return {
        type: 'checkpoint',
        state: { span: a!, head: b!, next: c!, through: d!, open: e!, notes: f! },
      }
    case 1:
      return { type: 'append', number: a!, record: b! }
    case 2:
      return { type: 'seal', first: a!, last: b!, body: c!, head: d! }
    case 3:
      return { type: 'restart', head: a!, next: b! }
    case 4:
      return { type: 'hold', first: a!, last: b!, body: c!, thin: d! }
    case 5:
      return { type: 'refuse', last: a! }
    case 6:
      return { type: 'through', number: a! }
    case 7:
      return { type: 'note', name: a!, value: b! }
    default:
      throw strange()
  }
}

function strange(): CodedError {
  const message = 'the flash holds records of another version of this program'
  return new CodedError('meter/store-damaged', message)
}
