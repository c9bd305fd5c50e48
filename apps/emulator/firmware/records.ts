/**
 * The least that speaks with a fog node: readings in sealed records, under keys that somebody else
 * agreed on. No handshake, no signature, no memory. Only its size is of interest (test/fit).
 */
import { smallCrypto } from '#crypto-small'
import { decodeDown, encodeUp } from '#messages'
import { encodeLive, type Reading } from '#reading'
import { createOpener, createSealer, type Opener, type Sealer } from '#record'

let sealer: Sealer
let opener: Opener
let previous: Reading | null = null

/** Keys for both directions. */
export function begin(key: Uint8Array, iv: Uint8Array): void {
  const common = { iv, channelId: 'AAAAAAAA', epoch: 0, nowMs: 0 }
  sealer = createSealer({ ...common, key: smallCrypto.aead(key), direction: 0 })
  opener = createOpener({ ...common, key: smallCrypto.aead(key), direction: 1 })
}

/** The record that carries a reading. */
function measure(number: number, powerW: number, importWh: number): Uint8Array {
  const rest = { voltageDv: null, currentMa: null, exportWh: 0, status: 0 }
  const reading: Reading = { number, timeS: 60 * number, powerW, importWh, ...rest }
  const up =
    previous === null
      ? encodeUp({ type: 'reading', reading })
      : encodeUp({ type: 'live', values: encodeLive(previous, reading) })
  previous = reading
  return sealer.seal(up, 0)
}

/** What a record of the fog node says, in one word; empty when it is none. */
function receive(frame: Uint8Array): string {
  const opened = opener.open(frame, 0)
  return 'plaintext' in opened ? decodeDown(opened.plaintext).type : ''
}

/** An hour of readings, each answered by a record that is none of the fog node's; its last record. */
export function hour(key: Uint8Array, iv: Uint8Array): Uint8Array {
  begin(key, iv)
  let record = new Uint8Array()
  for (let number = 1; number <= 60; number++) {
    record = new Uint8Array(measure(number, 300 + number, 5 * number))
    if (receive(record) !== '') throw new Error('a record was taken for one of the other direction')
  }
  return record
}
