import { concat, fromHex } from '#bytes'
import { encode } from '#cbor'
import { nobleCrypto } from '#crypto'
import { responderMessage1, type ResponderStartOptions } from '#edhoc'

/** What a responder knows once it has answered message_1. */
export interface ResponderSecrets {
  gY: Uint8Array
  prk2e: Uint8Array
  th2: Uint8Array
}

/** The secrets of a responder that answers `message1`, read through its trace. */
export function responderOf(
  options: ResponderStartOptions,
  message1: Uint8Array,
): ResponderSecrets {
  const values = new Map<string, Uint8Array>()
  const trace = (name: string, bytes: Uint8Array) => void values.set(name, bytes)
  responderMessage1({ ...options, trace }, message1)
  const value = (name: string) => values.get(name) ?? fromHex('')
  return { gY: value('G_Y'), prk2e: value('PRK_2e'), th2: value('TH_2') }
}

/** A message_2 with any PLAINTEXT_2, as only the holder of the ephemeral key can make it. */
export function sealPlaintext2(secrets: ResponderSecrets, plaintext: Uint8Array): Uint8Array {
  const { gY, prk2e, th2 } = secrets
  // KEYSTREAM_2, RFC 9528 §4.1.2
  const info = concat(encode(0), encode(th2), encode(plaintext.length))
  const keystream = nobleCrypto.hkdfExpand(prk2e, info, plaintext.length)
  return encode(
    concat(
      gY,
      plaintext.map((byte, i) => byte ^ (keystream[i] ?? 0)),
    ),
  )
}
