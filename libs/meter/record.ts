import { addChecksum, dropChecksum } from '#bytes'
import { decode, decodeInts, encode, encodeInts } from '#cbor'
import { CodedError } from '#errors'
import { readingFromValues, readingValues, type Anchor, type Reading } from '#reading'
import type { Left } from './one-register.ts'
import type { RegisterMemory } from './registers.ts'

/** A reading with what is needed to continue after it; one of them is one record of the store. */
export interface OpenRecord {
  reading: Reading
  memory: RegisterMemory
  /** Its place on the monotonic clock, null when the source does not tell. */
  anchor: Anchor | null
}

/** The state after the last signed block. */
export interface Head {
  /** Highest number a signed block accounts for (or that was given up), 0 at first. */
  accounted: number
  /** Hash chain after it. */
  chain: Uint8Array
  /** Its last reading, null before the first. */
  newest: OpenRecord | null
}

/**
 * [the reading's eight values, importRestWs, exportRestWs, rawImportWh, rawExportWh] as CBOR, then
 * where there is something to say [boot, ageS], and then three values of each register's `Left`.
 */
export function encodeRecord({ reading, memory, anchor }: OpenRecord): Uint8Array {
  const values = [
    ...readingValues(reading),
    memory.importRestWs,
    memory.exportRestWs,
    memory.rawImportWh,
    memory.rawExportWh,
  ]
  const { importLeft, exportLeft } = memory
  const left = importLeft !== null || exportLeft !== null
  if (anchor !== null || left) values.push(anchor?.boot ?? null, anchor?.ageS ?? null)
  if (left) values.push(...leftValues(importLeft), ...leftValues(exportLeft))
  return addChecksum(encodeInts(values))
}

function leftValues(left: Left | null): (number | null)[] {
  return left === null ? [null, null, null] : [left.fromWh, left.toWh, left.sumWh]
}

function leftFrom(values: readonly (number | null)[], at: number): Left | null {
  const [fromWh, toWh, sumWh] = values.slice(at, at + 3)
  return fromWh == null || toWh == null || sumWh == null ? null : { fromWh, toWh, sumWh }
}

/** Lengths of a record: plain, with an anchor, with what a register left behind. */
const recordLengths: readonly number[] = [12, 14, 20]

/** The mirror of `encodeRecord`; throws `meter/store-damaged`. */
export function decodeRecord(bytes: Uint8Array): OpenRecord {
  return guarded(() => {
    const values = decodeInts(dropChecksum(bytes))
    const [importRestWs, exportRestWs, rawImportWh, rawExportWh, boot, ageS] = values.slice(8)
    if (!recordLengths.includes(values.length)) throw damaged()
    if (importRestWs == null || exportRestWs == null) throw damaged()
    return {
      reading: readingFromValues(values.slice(0, 8)),
      memory: {
        importRestWs,
        exportRestWs,
        rawImportWh: rawImportWh ?? null,
        rawExportWh: rawExportWh ?? null,
        importLeft: leftFrom(values, 14),
        exportLeft: leftFrom(values, 17),
      },
      anchor: boot == null || ageS == null ? null : { boot, ageS },
    }
  })
}

/** [accounted, chain, record or null] as CBOR. */
export function encodeHead(head: Head): Uint8Array {
  const newest = head.newest === null ? null : encodeRecord(head.newest)
  return addChecksum(encode([head.accounted, head.chain, newest]))
}

/** The mirror of `encodeHead`; throws `meter/store-damaged`. */
export function decodeHead(bytes: Uint8Array): Head {
  return guarded(() => {
    const value = decode(dropChecksum(bytes))
    if (!Array.isArray(value) || value.length !== 3) throw damaged()
    const [accounted, chain, newest] = value
    if (typeof accounted !== 'number' || !(chain instanceof Uint8Array)) throw damaged()
    if (newest !== null && !(newest instanceof Uint8Array)) throw damaged()
    return { accounted, chain, newest: newest === null ? null : decodeRecord(newest) }
  })
}

function guarded<T>(work: () => T): T {
  try {
    return work()
  } catch (error) {
    // Anything else, like a want of memory, says nothing about the store.
    if (!(error instanceof CodedError) || error.code === 'meter/store-damaged') throw error
    throw damaged(error)
  }
}

function damaged(cause?: unknown): CodedError {
  return new CodedError(
    'meter/store-damaged',
    'the meter’s store holds a record that cannot be read: restore it from a backup, or enrol the ' +
      'meter again under a new name',
    { cause },
  )
}
