/**
 * The initiator's side, RFC 9528 §5:
 *
 *   startInitiator     → message_1     → InitiatorWait2
 *   initiatorMessage2  message_2 → message_3 → InitiatorWait4
 *   initiatorMessage4  message_4 → exporter
 */
import { equal } from '#bytes'
import type { CborValue } from '#cbor'
import type { EadItem } from './ead.ts'
import { edhocError } from './errors.ts'
import { createExporter, type Exporter } from './exporter.ts'
import { extractPrk, traced, transcript2, wipe } from './key-schedule.ts'
import { encodeMessage1 } from './message-1.ts'
import { openMessage2, splitMessage2 } from './message-2.ts'
import { composeMessage3 } from './message-3.ts'
import { openMessage4 } from './message-4.ts'
import { agree, createSession, spend } from './state.ts'
import type { InitiatorWait2, InitiatorWait4, ResolvePeer, SessionOptions } from './types.ts'

export interface InitiatorStartOptions extends SessionOptions {
  /** C_I, chosen by us: how the responder's messages name this session. */
  readonly cI: Uint8Array
  /** Suites we would rather use than `suite`, best first; SUITES_I lists them before it (§5.2.2). */
  readonly preferredSuites?: readonly number[]
  readonly ead1?: readonly EadItem[]
}

/** Composes message_1, §5.2.2. */
export function startInitiator(options: InitiatorStartOptions): {
  state: InitiatorWait2
  message1: Uint8Array
} {
  const { crypto, suite, cI, preferredSuites = [], ead1 = [] } = options
  const session = createSession(options)
  const ephemeral = crypto.x25519(options.ephemeralSecret)
  const gX = traced(session, 'G_X', ephemeral.publicKey)
  const message1 = encodeMessage1({ suites: [...preferredSuites, suite.id], gX, cI, ead: ead1 })
  traced(session, 'message_1', message1)
  const message1Hash = traced(session, 'H(message_1)', crypto.sha256(message1))
  const waiting = { step: 'initiator-wait-2', spent: false } as const
  return { state: { ...waiting, session, cI, message1Hash, ephemeral }, message1 }
}

/**
 * Processes message_2 and composes message_3, §5.3.3, §5.4.2. After an error the session is over.
 * `cR` is what the responder calls this session. `ead3` is sent along.
 * @throws edhoc/…, and whatever `resolve` throws
 */
export function initiatorMessage2(
  state: InitiatorWait2,
  message2: Uint8Array,
  resolve: ResolvePeer,
  ead3: readonly EadItem[] = [],
): {
  state: InitiatorWait4
  message3: Uint8Array
  peerIdCred: CborValue
  cR: Uint8Array
  ead2: readonly EadItem[]
} {
  spend(state, 'initiator-wait-2')
  const { session, ephemeral, message1Hash, cI } = state
  const { gY, ciphertext2 } = splitMessage2(message2)
  const th2 = transcript2(session, gY, message1Hash)
  const prk = extractPrk(session, th2, agree(ephemeral, gY))
  try {
    const { cR, idCred, ead, th3 } = openMessage2(session, { prk, th2 }, ciphertext2, resolve)
    if (equal(cI, cR)) throw edhocError('edhoc/same-identifier', 'C_R equals C_I')
    const { message3, th4 } = composeMessage3(session, { prk, th3 }, ead3)
    const next: InitiatorWait4 = { step: 'initiator-wait-4', spent: false, session, prk, th4 }
    return { state: next, message3, peerIdCred: idCred, cR, ead2: ead }
  } catch (error) {
    wipe(prk)
    throw error
  }
}

/**
 * Processes message_4, §5.5.3. Only now is it certain that the responder has the same key, so only
 * now is there an exporter. After an error the session is over. @throws edhoc/…
 */
export function initiatorMessage4(
  state: InitiatorWait4,
  message4: Uint8Array,
): { exporter: Exporter; ead4: readonly EadItem[] } {
  spend(state, 'initiator-wait-4')
  const { session, prk, th4 } = state
  try {
    const ead4 = openMessage4(session, { prk, th4 }, message4)
    return { exporter: createExporter(session, prk, th4), ead4 }
  } finally {
    wipe(prk)
  }
}
