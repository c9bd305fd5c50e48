import { decodeError } from '#edhoc'
import { CodedError } from '#errors'

/** What an EDHOC error from the peer means for us. */
export interface Refusal {
  readonly code:
    'channel/suite-refused' | 'channel/credential-refused' | 'channel/handshake-refused'
  /** The peer's own code, when it sent one that looks like ours. A hint: errors are not authenticated. */
  readonly detail: string | null
}

/** The only texts that get as far as a log. */
const CODE = /^[a-z]{1,20}\/[a-z-]{1,40}$/

/** Reads an EDHOC error (RFC 9528 §6); null when the bytes are not one. */
export function refusalIn(body: Uint8Array): Refusal | null {
  try {
    const error = decodeError(body)
    const detail = error.code === 1 && CODE.test(error.text) ? error.text : null
    if (error.code === 2) return { code: 'channel/suite-refused', detail }
    if (error.code === 3 || detail?.startsWith('credential/')) {
      return { code: 'channel/credential-refused', detail }
    }
    return { code: 'channel/handshake-refused', detail }
  } catch {
    return null
  }
}

/** What we found wrong with a peer, in words a log may have: our own sentence, never the peer's. */
export function describe(error: unknown): string | null {
  return error instanceof CodedError && JUDGED.test(error.code) ? error.message : null
}

const JUDGED = /^(credential|channel)\//
