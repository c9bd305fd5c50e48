import { dropChecksum } from '#bytes'
import { CodedError } from '#errors'

/** The mirror of `addChecksum` for what this store keeps. Throws `fog/store-damaged`. */
export function contentOf(what: string, blob: Uint8Array): Uint8Array {
  try {
    return dropChecksum(blob)
  } catch (error) {
    const message = `${what} in the store is damaged: restore a backup`
    throw new CodedError('fog/store-damaged', message, { cause: error })
  }
}
