import { CodedError } from '#errors'
import { aadOf, ivOf, limitsOf, type RecordContext } from './context.ts'
import { pivLength } from './frame.ts'

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
      const length = pivLength(counter)
      nonce.set(iv)
      const piv = new Uint8Array(length)
      let rest = counter
      for (let i = length - 1, at = iv.length - 1; i >= 0; i--, at--) {
        const byte = rest % 256
        rest = (rest - byte) / 256
        piv[i] = byte
        nonce[at] = (nonce[at] as number) ^ byte
      }
      // Before sealing: whatever happens from here on, this nonce is never used again.
      counter++
      const sealed = key.seal(nonce, aad, plaintext)
      const frame = new Uint8Array(1 + length + sealed.length)
      frame[0] = ((epoch & 3) << 3) | (length - 1)
      frame.set(piv, 1)
      frame.set(sealed, 1 + length)
      return frame
    },
  }
}
