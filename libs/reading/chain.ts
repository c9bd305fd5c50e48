import { concat, utf8 } from '#bytes'
import { writeInts } from '#cbor'
import type { Crypto } from '#crypto'
import { readingValues, type Reading } from './reading.ts'

/** The part of #crypto the chain needs. */
export type Hash = Pick<Crypto, 'sha256'>

/** The chain value before a meter's first reading: SHA-256("fogmeter chain" ‖ device id). */
export function firstChain(crypto: Hash, deviceId: string): Uint8Array {
  return crypto.sha256(concat(utf8('fogmeter chain'), utf8(deviceId)))
}

/** Previous value and eight integers. Reused between calls: nothing here awaits or keeps it. */
const scratch = new Uint8Array(32 + 9 * 9)

/**
 * One link: SHA-256(previous ‖ canonical reading). Neither part is ambiguous: `previous` is always
 * 32 bytes and the rest is one deterministic CBOR array.
 */
export function chain(crypto: Hash, previous: Uint8Array, reading: Reading): Uint8Array {
  scratch.set(previous)
  const end = writeInts(scratch, previous.length, readingValues(reading))
  return crypto.sha256(scratch.subarray(0, end))
}

/** The chain after all `readings`. */
export function chainAll(
  crypto: Hash,
  previous: Uint8Array,
  readings: readonly Reading[],
): Uint8Array {
  let value = previous
  for (const reading of readings) value = chain(crypto, value, reading)
  return value
}
