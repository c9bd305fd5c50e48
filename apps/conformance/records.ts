import { concat } from '#bytes'
import { decode, encode } from '#cbor'
import { decryptEncrypt0, encryptEncrypt0 } from '#cose'
import type { AeadKey, Crypto } from '#crypto'
import type { Exporter } from '#edhoc'
import { encodeHead, expandRecord, recordLabels, type Direction } from '#record'
import { utf8 } from '#bytes'

/** The keys of one direction of one epoch, for somebody who chooses every counter himself. */
export interface HalfKeys {
  readonly key: AeadKey
  readonly iv: Uint8Array
  /** `[channel id, direction, epoch]` as CBOR. */
  readonly externalAad: Uint8Array
  readonly epoch: number
}

/** `#record` refuses to use a counter twice or to jump, which is what these runs have to do. */
export function halfKeys(
  crypto: Crypto,
  exporter: Exporter,
  { cid, direction, epoch }: { cid: string; direction: Direction; epoch: number },
): HalfKeys {
  const context = utf8(cid)
  return {
    key: crypto.aead(exporter(recordLabels.key[direction], context, 32)),
    iv: exporter(recordLabels.iv[direction], context, 12),
    externalAad: encode([cid, direction, epoch]),
    epoch,
  }
}

/** A record under the counter given. */
export function sealRecord(keys: HalfKeys, counter: number, payload: Uint8Array): Uint8Array {
  const head = encodeHead(keys.epoch, counter)
  const { key, iv, externalAad } = keys
  const partialIv = head.slice(1)
  const sealed = decode(
    encryptEncrypt0({ key, payload, externalAad, partialIv, context: { iv } }),
  ) as [Uint8Array, unknown, Uint8Array]
  return concat(head, sealed[2])
}

/** What a record says. Replays open too: the caller judges counters. @throws cose/… */
export function openRecord(keys: HalfKeys, frame: Uint8Array): Uint8Array {
  const message = expandRecord(frame) ?? new Uint8Array()
  const { key, iv, externalAad } = keys
  return decryptEncrypt0(message, key, { externalAad, context: { iv } }).payload
}
