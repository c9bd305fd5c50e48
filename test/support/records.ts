import { concat, fromHex } from '#bytes'
import { encode } from '#cbor'
import { encStructure } from '#cose'
import { nobleCrypto, type AeadKey } from '#crypto'
import type { Direction, Opened, RecordContext, Refused } from '#record'

/** A session's keys for tests; both directions under one key, so that only the AAD tells them apart. */
export function recordContext(changes: Partial<RecordContext> = {}): RecordContext {
  return {
    key: testKey,
    iv: Uint8Array.from({ length: 12 }, (_, i) => 0xa0 + i),
    channelId: 'abcdefgh',
    direction: 0,
    epoch: 0,
    nowMs: 1_000,
    ...changes,
  }
}

export const testKey: AeadKey = nobleCrypto.aead(new Uint8Array(32).fill(7))

/**
 * A record written straight from the definition in libs/record/README.md, with any counter: what a
 * sealer would send if it ever got that far. Shares no code with the library.
 */
export function textbookRecord(
  { key, iv, channelId, direction, epoch }: RecordContext,
  counter: number | bigint,
  plaintext: Uint8Array,
): Uint8Array {
  const hex = BigInt(counter).toString(16)
  const piv = fromHex(hex.length % 2 === 0 ? hex : `0${hex}`)
  const padded = concat(new Uint8Array(12 - piv.length), piv)
  const nonce = iv.map((byte, i) => byte ^ (padded[i] ?? 0))
  const aad = encStructure(new Uint8Array(), encode([channelId, direction, epoch]))
  const header = Uint8Array.of(((epoch % 4) << 3) | (piv.length - 1))
  return concat(header, piv, key.seal(nonce, aad, plaintext))
}

/** 'opened', or why not. */
export function outcome(result: Opened | Refused): string {
  return 'refused' in result ? result.refused : 'opened'
}

export function otherDirection(direction: Direction): Direction {
  return direction === 0 ? 1 : 0
}
