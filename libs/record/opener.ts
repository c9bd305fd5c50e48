import { aadOf, ivOf, limitsOf, type RecordContext } from './context.ts'
import { counterOf, epochBits, headLength, setNonce } from './frame.ts'
import { checkWindow, createWindow, markWindow } from './window.ts'

export interface Opened {
  readonly plaintext: Uint8Array
  readonly counter: number
}

export type RefusedReason =
  /** Not a record of this epoch in its one valid form. */
  | 'malformed'
  /** This counter was accepted before. */
  | 'replay'
  /** Too far behind the newest record to tell. */
  | 'stale'
  /** Not made with this key, channel, direction and epoch. */
  | 'forged'
  /** The keys are too old, used up, or attacked too often: only a new handshake helps. */
  | 'expired'

export interface Refused {
  readonly refused: RefusedReason
}

/** Guards the replay window and counts what fails. */
export interface Opener {
  readonly epoch: number
  /** Failed openings so far. */
  readonly failures: number
  /** Enough failures to tell an operator. */
  readonly alarm: boolean
  /** Enough failures to end the session; every record is refused from here on. */
  readonly drop: boolean
  open(frame: Uint8Array, nowMs: number): Opened | Refused
  /** Whether it is time for a new handshake. */
  needsRekey(nowMs: number): boolean
}

const MALFORMED: Refused = { refused: 'malformed' }
const REPLAY: Refused = { refused: 'replay' }
const STALE: Refused = { refused: 'stale' }
const FORGED: Refused = { refused: 'forged' }
const EXPIRED: Refused = { refused: 'expired' }

export function createOpener(context: RecordContext): Opener {
  const { key, epoch, nowMs: startMs } = context
  const limits = limitsOf(context)
  const [iv, aad] = [ivOf(context), aadOf(context)]
  const window = createWindow(limits.replayWindow)
  const nonce = new Uint8Array(iv.length)
  let failures = 0

  return {
    epoch,
    get failures() {
      return failures
    },
    get alarm() {
      return failures >= limits.alarmAfterFailures
    },
    get drop() {
      return failures >= limits.dropAfterFailures
    },
    needsRekey: (nowMs) =>
      window.newest + 1 >= limits.rekeyAfterRecords || nowMs - startMs >= limits.rekeyAfterMs,
    // Check, open, then mark: until the tag is right, a frame changes nothing but the failure count.
    open(frame, nowMs) {
      if (failures >= limits.dropAfterFailures) return EXPIRED
      if (nowMs - startMs >= limits.refuseAfterMs) return EXPIRED
      const counter = counterOf(frame)
      if (counter < 0 || epochBits(frame) !== (epoch & 3)) return MALFORMED
      const verdict = checkWindow(window, counter)
      if (verdict !== 'new') return verdict === 'replay' ? REPLAY : STALE
      const end = headLength(frame)
      setNonce(nonce, iv, frame, end)
      const plaintext = key.open(nonce, aad, frame.subarray(end))
      if (plaintext === null) {
        failures++
        return FORGED
      }
      // Judged after opening, so that nobody but the peer can make a session look used up.
      if (counter >= limits.refuseAfterRecords) return EXPIRED
      markWindow(window, counter)
      return { plaintext, counter }
    },
  }
}
