import { checkRevocations, type RevocationList } from '#credential'
import type { Crypto } from '#crypto'
import type { FlashStore } from '#flash-store'
import { isShortage } from './memory.ts'

const NOTE = 'revocations'
/** A longer list does not fit beside everything else: the fog node it comes from has it. */
const LONGEST = 512

/** The newest signed list a fog node passed on, remembered over sleep and power cuts. */
export function followRevocations(crypto: Crypto, authorityKey: Uint8Array, store: FlashStore) {
  /** Undefined until somebody asks: most wakes meet nobody. */
  let known: RevocationList | null | undefined

  function current(): RevocationList | null {
    if (known !== undefined) return known
    const stored = store.note(NOTE)
    return (known = stored === null ? null : checked(stored))
  }

  /** Null for what the authority did not sign. */
  function checked(bytes: Uint8Array): RevocationList | null {
    try {
      return checkRevocations(crypto, authorityKey, bytes)
    } catch (error) {
      if (isShortage(error)) throw error
      return null
    }
  }

  return {
    current,
    /** The list when it is newer and now in force, else null. */
    offer(bytes: Uint8Array): RevocationList | null {
      if (bytes.length > LONGEST) return null
      const list = checked(bytes)
      if (list === null || list.number <= (current()?.number ?? -1)) return null
      store.setNote(NOTE, bytes)
      return (known = list)
    },
  }
}
