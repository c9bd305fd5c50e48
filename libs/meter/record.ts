import { decode, decodeInts, encode, encodeInts } from '#cbor'
import { CodedError } from '#errors'
import { readingFromValues, readingValues, type Reading } from '#reading'
import type { RegisterMemory } from './registers.ts'

/** A reading with what is needed to continue after it; one of them is one record of the store. */
export interface OpenRecord {
  reading: Reading
  memory: RegisterMemory
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

/** [the reading's eight values, importRestWs, exportRestWs, rawImportWh, rawExportWh] as CBOR. */
export function encodeRecord({ reading, memory }: OpenRecord): Uint8Array {
  return encodeInts([
    ...readingValues(reading),
    memory.importRestWs,
    memory.exportRestWs,
    memory.rawImportWh,
    memory.rawExportWh,
  ])
}

/** The mirror of `encodeRecord`; throws `meter/store-damaged`. */
export function decodeRecord(bytes: Uint8Array): OpenRecord {
  return guarded(() => {
    const values = decodeInts(bytes)
    const [importRestWs, exportRestWs, rawImportWh, rawExportWh] = values.slice(8)
    if (values.length !== 12 || importRestWs == null || exportRestWs == null) throw damaged()
    return {
      reading: readingFromValues(values.slice(0, 8)),
      memory: {
        importRestWs,
        exportRestWs,
        rawImportWh: rawImportWh ?? null,
        rawExportWh: rawExportWh ?? null,
      },
    }
  })
}

/** [accounted, chain, record or null] as CBOR. */
export function encodeHead(head: Head): Uint8Array {
  const newest = head.newest === null ? null : encodeRecord(head.newest)
  return encode([head.accounted, head.chain, newest])
}

/** The mirror of `encodeHead`; throws `meter/store-damaged`. */
export function decodeHead(bytes: Uint8Array): Head {
  return guarded(() => {
    const value = decode(bytes)
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
    if (error instanceof CodedError && error.code === 'meter/store-damaged') throw error
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
