import type { Crypto, SigningKey } from '#crypto'
import {
  chain as extendChain,
  encodeBlock,
  firstChain,
  makeStatement,
  signStatement,
  type Anchor,
  type Reading,
  type SkippedRange,
} from '#reading'
import {
  decodeHead,
  decodeRecord,
  encodeHead,
  encodeRecord,
  type Head,
  type OpenRecord,
} from './record.ts'
import { blockAnchor } from './time.ts'
import type { MeterStore } from './types.ts'

export interface JournalOptions {
  crypto: Crypto
  key: SigningKey
  deviceId: string
  store: MeterStore
}

/** A block just signed, as the live mode needs it. */
export interface Sealed {
  first: number
  last: number
  skipped: SkippedRange[]
  signature: Uint8Array
  anchor: Anchor | null
  /** Number of its first reading; higher than `first` when a skipped range comes before. */
  firstReading: number
}

/**
 * The evidence a meter writes: readings into an open block, signed blocks after each other on one
 * hash chain. What is in memory always equals what the store would load.
 */
export interface Journal {
  readonly head: Head
  readonly open: readonly OpenRecord[]
  /** The newest reading with its memory, signed or not. */
  readonly newest: OpenRecord | null
  readonly next: number
  append(record: OpenRecord): void
  /** Signs the open block, which must not be empty. */
  seal(): Sealed
  /** Gives up the open block and goes on at `next`: lower numbers were used by a former life. */
  raise(next: number): number
  /** Forgets memory and reads the store again, after a transaction that did not commit. */
  reload(): void
}

interface State {
  head: Head
  open: OpenRecord[]
  /** Hash chain after the open readings. */
  chain: Uint8Array
  next: number
}

/** Opens what the store holds; throws `meter/store-damaged`. */
export function openJournal(options: JournalOptions): Journal {
  const { crypto, key, deviceId, store } = options
  let state = load()

  function load(): State {
    const stored = store.load()
    const head =
      stored.head === null
        ? { accounted: 0, chain: firstChain(crypto, deviceId), newest: null }
        : decodeHead(stored.head)
    const open = stored.open.map(decodeRecord)
    let chain = head.chain
    for (const { reading } of open) chain = extendChain(crypto, chain, reading)
    const used = open.at(-1)?.reading.number ?? head.accounted
    return { head, open, chain, next: Math.max(stored.next, used + 1) }
  }

  function append(record: OpenRecord): void {
    const chain = extendChain(crypto, state.chain, record.reading)
    store.append(record.reading.number, encodeRecord(record))
    state.open.push(record)
    state.chain = chain
    state.next = record.reading.number + 1
  }

  function seal(): Sealed {
    const { head, open } = state
    const readings = open.map((record) => record.reading)
    const skipped = skippedBefore(head.accounted, readings)
    const anchor = blockAnchor(head.newest, open)
    const statement = makeStatement(
      crypto,
      {
        deviceId,
        previousChain: head.chain,
        startImportWh: head.newest?.reading.importWh ?? null,
        startExportWh: head.newest?.reading.exportWh ?? null,
        readings,
        skipped,
        anchor: anchor ?? undefined,
      },
      state.chain,
    )
    const signature = signStatement(key, statement)
    const { first, last } = statement
    const body = encodeBlock({ statement, signature, readings })
    const newHead: Head = { accounted: last, chain: state.chain, newest: open.at(-1) ?? null }
    store.seal({ first, last, body }, encodeHead(newHead))
    state = { ...state, head: newHead, open: [] }
    return { first, last, skipped, signature, anchor, firstReading: readings[0]?.number ?? first }
  }

  function raise(next: number): number {
    const givenUp = state.open.length
    const head: Head = {
      accounted: next - 1,
      chain: state.head.chain,
      newest: state.open.at(-1) ?? state.head.newest,
    }
    store.restart(encodeHead(head), next)
    state = { head, open: [], chain: head.chain, next }
    return givenUp
  }

  return {
    get head() {
      return state.head
    },
    get open() {
      return state.open
    },
    get newest() {
      return state.open.at(-1) ?? state.head.newest
    },
    get next() {
      return state.next
    },
    append,
    seal,
    raise,
    reload: () => {
      state = load()
    },
  }
}

/** The holes between the numbers accounted for and the numbers of these readings. */
function skippedBefore(accounted: number, readings: readonly Reading[]): SkippedRange[] {
  const ranges: SkippedRange[] = []
  let last = accounted
  for (const { number } of readings) {
    if (number > last + 1) ranges.push([last + 1, number - 1])
    last = number
  }
  return ranges
}
