import type { AgreementKey } from '#crypto'
import { codeOf } from '#errors'
import { edhocError } from './errors.ts'
import { wipe } from './key-schedule.ts'
import { AGREEMENT_LENGTH } from './suite.ts'
import type {
  InitiatorWait2,
  InitiatorWait4,
  ResponderWait3,
  Session,
  SessionOptions,
} from './types.ts'

export function createSession(options: SessionOptions): Session {
  const { crypto, suite, own, knownEad = [], trace } = options
  return { crypto, suite, own, knownEad, trace }
}

type Waiting = InitiatorWait2 | ResponderWait3 | InitiatorWait4

/** Marks a state used. @throws edhoc/state-spent when it already is, or waits for another message */
export function spend(state: Waiting, step: Waiting['step']): void {
  if (state.spent || state.step !== step)
    throw edhocError('edhoc/state-spent', 'this session has ended or waits for another message')
  state.spent = true
}

/** Ends a session that waits for a message, when it timed out or an error message came. */
export function abandon(state: Waiting): void {
  state.spent = true
  if ('prk' in state) wipe(state.prk)
}

/** G_XY. @throws edhoc/bad-key for a peer key of the wrong length or of low order (§9.2) */
export function agree(ephemeral: AgreementKey, peerPublic: Uint8Array): Uint8Array {
  if (peerPublic.length !== AGREEMENT_LENGTH)
    throw edhocError('edhoc/bad-key', `ephemeral key has ${peerPublic.length} bytes`)
  try {
    return ephemeral.shared(peerPublic)
  } catch (error) {
    if (!codeOf(error).startsWith('crypto/')) throw error
    throw edhocError('edhoc/bad-key', 'the ephemeral key of the peer has low order', error)
  }
}
