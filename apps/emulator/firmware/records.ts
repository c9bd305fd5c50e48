/**
 * The least that speaks with a fog node: readings in sealed records, under keys that somebody else
 * agreed on. No handshake, no signature, no memory. Only its size is of interest (test/fit).
 */
import { smallCrypto } from '#crypto-small'
import { decodeDown, encodeUp } from '#messages'
import { encodeLive, type Reading } from '#reading'
import { createOpener, createSealer } from '#record'

export function boot(keyUp: Uint8Array, keyDown: Uint8Array, iv: Uint8Array) {
  const common = { iv, channelId: 'AAAAAAAA', epoch: 0, nowMs: 0 }
  const sealer = createSealer({ ...common, key: smallCrypto.aead(keyUp), direction: 0 })
  const opener = createOpener({ ...common, key: smallCrypto.aead(keyDown), direction: 1 })
  let previous: Reading | null = null

  return {
    /** The record that carries a reading. */
    measure(number: number, timeS: number, powerW: number, importWh: number): Uint8Array {
      const rest = { voltageDv: null, currentMa: null, exportWh: 0, status: 0 }
      const reading: Reading = { number, timeS, powerW, importWh, ...rest }
      const up =
        previous === null
          ? encodeUp({ type: 'reading', reading })
          : encodeUp({ type: 'live', values: encodeLive(previous, reading) })
      previous = reading
      return sealer.seal(up, 0)
    },
    /** What a record of the fog node says, in one word; empty when it is none. */
    receive(frame: Uint8Array): string {
      const opened = opener.open(frame, 0)
      return 'plaintext' in opened ? decodeDown(opened.plaintext).type : ''
    },
  }
}
