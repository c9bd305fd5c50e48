/**
 * The responder's side, RFC 9528 §5:
 *
 *   responderMessage1  message_1 → message_2 → ResponderWait3
 *   responderMessage3  message_3 → message_4, exporter
 */
import { equal } from '#bytes'
import type { CborValue } from '#cbor'
import type { EadItem } from './ead.ts'
import { edhocError } from './errors.ts'
import { createExporter, type Exporter } from './exporter.ts'
import { extractPrk, traced, transcript2, wipe } from './key-schedule.ts'
import { decodeMessage1 } from './message-1.ts'
import { composeMessage2 } from './message-2.ts'
import { openMessage3 } from './message-3.ts'
import { composeMessage4 } from './message-4.ts'
import { agree, createSession, spend } from './state.ts'
import type { ResolvePeer, ResponderWait3, SessionOptions } from './types.ts'

export interface ResponderStartOptions extends SessionOptions {
  /** C_R, chosen by us; a function when it depends on C_I, which it must differ from. */
  readonly cR: Uint8Array | ((cI: Uint8Array) => Uint8Array)
  readonly ead2?: readonly EadItem[]
}

/**
 * Processes message_1 and composes message_2, §5.2.3, §5.3.2.
 * @throws edhoc/malformed, edhoc/too-large, edhoc/unsupported-method, edhoc/wrong-suite,
 *   edhoc/bad-key, edhoc/critical-ead, edhoc/same-identifier
 */
export function responderMessage1(
  options: ResponderStartOptions,
  message1: Uint8Array,
): { state: ResponderWait3; message2: Uint8Array; cI: Uint8Array; ead1: readonly EadItem[] } {
  const { crypto, suite, ead2 = [] } = options
  const session = createSession(options)
  const { gX, cI, ead } = decodeMessage1(message1, suite.id, session.knownEad)
  const cR = typeof options.cR === 'function' ? options.cR(cI) : options.cR
  if (equal(cI, cR)) throw edhocError('edhoc/same-identifier', 'C_R equals C_I')
  const ephemeral = crypto.x25519(options.ephemeralSecret)
  const gXY = agree(ephemeral, gX)
  const gY = traced(session, 'G_Y', ephemeral.publicKey)
  const message1Hash = traced(session, 'H(message_1)', crypto.sha256(message1))
  const th2 = transcript2(session, gY, message1Hash)
  const prk = extractPrk(session, th2, gXY)
  const { message2, th3 } = composeMessage2(session, { prk, th2 }, gY, cR, ead2)
  const state: ResponderWait3 = { step: 'responder-wait-3', spent: false, session, prk, th3 }
  return { state, message2, cI, ead1: ead }
}

/**
 * Processes message_3 and composes message_4, §5.4.3, §5.5.2. After an error the session is over.
 * `ead4` is sent along. @throws edhoc/…, and whatever `resolve` throws
 */
export function responderMessage3(
  state: ResponderWait3,
  message3: Uint8Array,
  resolve: ResolvePeer,
  ead4: readonly EadItem[] = [],
): {
  message4: Uint8Array
  exporter: Exporter
  peerIdCred: CborValue
  ead3: readonly EadItem[]
} {
  spend(state, 'responder-wait-3')
  const { session, prk, th3 } = state
  try {
    const { idCred, ead, th4 } = openMessage3(session, { prk, th3 }, message3, resolve)
    const message4 = composeMessage4(session, { prk, th4 }, ead4)
    return { message4, exporter: createExporter(session, prk, th4), peerIdCred: idCred, ead3: ead }
  } finally {
    wipe(prk)
  }
}
