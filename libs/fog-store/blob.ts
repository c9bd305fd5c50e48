import { dropChecksum, hasChecksum } from '#bytes'
import { CodedError } from '#errors'
import { decodeItem } from '#messages'

/** The mirror of `addChecksum` for what this store keeps. Throws `fog/store-damaged`. */
export function contentOf(what: string, blob: Uint8Array): Uint8Array {
  try {
    return dropChecksum(blob)
  } catch (error) {
    const message = `${what} in the store is damaged: restore a backup`
    throw new CodedError('fog/store-damaged', message, { cause: error })
  }
}

/**
 * The item in a row of the outbox; null when its bytes are not those that were written. What looks
 * like a row from before there were checksums has to be an item: a mark with a flipped bit is none.
 */
export function itemOf(blob: Uint8Array): Uint8Array | null {
  try {
    if (!hasChecksum(blob)) decodeItem(blob)
    return dropChecksum(blob)
  } catch {
    return null
  }
}
