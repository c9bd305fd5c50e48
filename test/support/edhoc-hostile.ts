import { concat, fromHex } from '#bytes'
import { encode } from '#cbor'
import { nobleCrypto } from '#crypto'
import {
  initiatorMessage2,
  responderMessage1,
  startInitiator,
  type ResponderStartOptions,
  type ResponderWait3,
} from '#edhoc'
import type { sessionParties } from './edhoc-session.ts'

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

/**
 * An initiator that follows the protocol up to message_3 and then seals any PLAINTEXT_3; with the
 * responder's state that message is for.
 */
export function sealPlaintext3(
  parties: ReturnType<typeof sessionParties>,
  plaintext: Uint8Array,
): { state: ResponderWait3; message3: Uint8Array } {
  const values = new Map<string, Uint8Array>()
  const trace = (name: string, bytes: Uint8Array) => void values.set(name, bytes)
  const started = startInitiator({ ...parties.initiator, trace })
  const { state, message2 } = responderMessage1(parties.responder, started.message1)
  initiatorMessage2(started.state, message2, parties.knowsResponder)
  const value = (name: string) => values.get(name) ?? fromHex('')
  const key = nobleCrypto.aead(value('K_3'))
  return { state, message3: encode(key.seal(value('IV_3'), value('A_3'), plaintext)) }
}
