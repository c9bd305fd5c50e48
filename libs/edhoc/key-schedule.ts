/** Key derivation, RFC 9528 §4. In method 0, PRK_2e = PRK_3e2m = PRK_4e3m (§4.1.1). */
import { concat } from '#bytes'
import { encode, encodeSequence } from '#cbor'
import { HASH_LENGTH } from './suite.ts'
import type { Session } from './types.ts'

/** info_label of each derivation, §4.1.2 and Appendix H. 1 and 5 belong to static DH. */
export const LABEL = {
  keystream2: 0,
  mac2: 2,
  k3: 3,
  iv3: 4,
  mac3: 6,
  prkOut: 7,
  k4: 8,
  iv4: 9,
  prkExporter: 10,
  keyUpdate: 11,
} as const

export type Tools = Pick<Session, 'crypto' | 'trace'>

export function traced(tools: Tools, name: string, bytes: Uint8Array): Uint8Array {
  tools.trace?.(name, bytes.slice())
  return bytes
}

/** EDHOC_KDF, §4.1.2. `name` is for the trace only. */
export function kdf(
  tools: Tools,
  name: string,
  prk: Uint8Array,
  label: number,
  context: Uint8Array,
  length: number,
): Uint8Array {
  const info = encodeSequence([label, context, length])
  tools.trace?.(`info for ${name}`, info.slice())
  return traced(tools, name, tools.crypto.hkdfExpand(prk, info, length))
}

function transcriptHash(tools: Tools, name: string, ...parts: Uint8Array[]): Uint8Array {
  const input = concat(...parts)
  tools.trace?.(`Input to calculate ${name}`, input.slice())
  return traced(tools, name, tools.crypto.sha256(input))
}

/** TH_2 = H( G_Y, H(message_1) ), §5.3.2. */
export function transcript2(tools: Tools, gY: Uint8Array, message1Hash: Uint8Array): Uint8Array {
  return transcriptHash(tools, 'TH_2', encode(gY), encode(message1Hash))
}

/** TH_3 = H( TH_2, PLAINTEXT_2, CRED_R ), §5.4.2; TH_4 = H( TH_3, PLAINTEXT_3, CRED_I ). */
export function nextTranscript(
  tools: Tools,
  name: 'TH_3' | 'TH_4',
  previous: Uint8Array,
  plaintext: Uint8Array,
  cred: Uint8Array,
): Uint8Array {
  return transcriptHash(tools, name, encode(previous), plaintext, cred)
}

/** PRK_2e = EDHOC_Extract( TH_2, G_XY ), §4.1.1.1. The shared secret is wiped. */
export function extractPrk(tools: Tools, th2: Uint8Array, gXY: Uint8Array): Uint8Array {
  traced(tools, 'G_XY', gXY)
  const prk = tools.crypto.hkdfExtract(th2, gXY)
  wipe(gXY)
  for (const name of ['PRK_2e', 'PRK_3e2m', 'PRK_4e3m']) traced(tools, name, prk)
  return prk
}

/** KEYSTREAM_2, §4.1.2. */
export function keystream2(
  tools: Tools,
  prk: Uint8Array,
  th2: Uint8Array,
  length: number,
): Uint8Array {
  return kdf(tools, 'KEYSTREAM_2', prk, LABEL.keystream2, th2, length)
}

export function macLabel(message: 2 | 3): number {
  return message === 2 ? LABEL.mac2 : LABEL.mac3
}

/** MAC_2 and MAC_3 of method 0 are as long as the hash, §5.3.2, §5.4.2. */
export const MAC_LENGTH = HASH_LENGTH

/** Overwrites secrets no longer needed. The runtime may hold copies we cannot reach. */
export function wipe(...secrets: Uint8Array[]): void {
  for (const secret of secrets) secret.fill(0)
}
