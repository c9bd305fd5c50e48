import { concat } from '#bytes'
import { CodedError } from '#errors'
import { aadOf, ivOf, limitsOf, type RecordContext } from './context.ts'
import { encodeHead, setNonce } from './frame.ts'

/** Guards the counter: no two records of a context share a nonce. */
export interface Sealer {
  readonly epoch: number
  /** Records sealed so far, which is the next record's counter. */
  readonly records: number
  /** @throws record/exhausted once the age or record limit is reached */
  seal(plaintext: Uint8Array, nowMs: number): Uint8Array
  /** Whether it is time for a new handshake. */
  needsRekey(nowMs: number): boolean
}

export function createSealer(context: RecordContext): Sealer {
  const { key, epoch, nowMs: startMs } = context
  const limits = limitsOf(context)
  const [iv, aad] = [ivOf(context), aadOf(context)]
  const nonce = new Uint8Array(iv.length)
  let counter = 0

  return {
    epoch,
    get records() {
      return counter
    },
    needsRekey: (nowMs) =>
      counter >= limits.rekeyAfterRecords || nowMs - startMs >= limits.rekeyAfterMs,
    seal(plaintext, nowMs) {
      if (counter >= limits.refuseAfterRecords || nowMs - startMs >= limits.refuseAfterMs)
        throw new CodedError('record/exhausted', 'these keys are used up; a new handshake is due')
      const head = encodeHead(epoch, counter)
      setNonce(nonce, iv, head, head.length)
      // Before sealing: whatever happens from here on, this nonce is never used again.
      counter++
      return concat(head, key.seal(nonce, aad, plaintext))
    },
  }
}
