import { decode, encode } from '#cbor'
import { CodedError } from '#errors'
import type { BlockRow } from '#fog'

/** Largest group ever read back: 512 blocks of 64 readings are below it. */
const largest = 4 * 2 ** 20

/** The blocks of one commit as CBOR: [meterId, body, meterId, body, …]. */
export function encodeGroup(blocks: readonly BlockRow[]): Uint8Array {
  return encode(blocks.flatMap(({ meterId, body }) => [meterId, body]))
}

/** The mirror of `encodeGroup`; throws `fog/store-damaged`. */
export function decodeGroup(bytes: Uint8Array): BlockRow[] {
  try {
    const value = decode(bytes, { size: largest })
    if (!Array.isArray(value) || value.length % 2 !== 0) throw new Error('not pairs')
    const rows: BlockRow[] = []
    for (let i = 0; i < value.length; i += 2) {
      const [meterId, body] = [value[i], value[i + 1]]
      if (typeof meterId !== 'number' || !(body instanceof Uint8Array))
        throw new Error('not a pair')
      rows.push({ meterId, body })
    }
    return rows
  } catch (error) {
    throw new CodedError('fog/store-damaged', 'a group of blocks in the store is damaged', {
      cause: error,
    })
  }
}
