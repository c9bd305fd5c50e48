import { fromHex, toHex } from '#bytes'
import { decode, type CborValue } from '#cbor'
import { nobleCrypto, type Crypto } from '#crypto'
import {
  initiatorMessage2,
  initiatorMessage4,
  responderMessage1,
  responderMessage3,
  startInitiator,
  suite4,
  type EadItem,
  type Exporter,
  type InitiatorStartOptions,
  type OwnCredential,
  type ResolvePeer,
  type ResponderStartOptions,
  type Suite,
} from '#edhoc'
import { suite0 } from './edhoc-suite0.ts'

/** One deterministic EDHOC session: inputs, and expected values by their names in RFC 9529. */
export interface SessionVector {
  suite: number
  /** As encoded in the messages. */
  cI: string
  cR: string
  /** Encoded CBOR items. */
  idCredI: string
  idCredR: string
  credI: string
  credR: string
  /** Secrets: ephemeral and authentication keys. */
  x: string
  y: string
  skI: string
  skR: string
  values: Record<string, string>
  exports: ExportVector[]
  keyUpdate: {
    context: string
    PRK_out: string
    PRK_exporter: string
    exports: ExportVector[]
  }
}

export interface ExportVector {
  label: number
  context: string
  length: number
  hex: string
}

/** The identifier bytes behind their form in a message (RFC 9528 §3.3.2). */
function identifier(encoded: string): Uint8Array {
  const value = decode(fromHex(encoded))
  return value instanceof Uint8Array ? value : fromHex(encoded)
}

/** Both ends of a session, ready to run step by step. */
export function sessionParties(vector: SessionVector, crypto: Crypto = nobleCrypto) {
  const suite: Suite = vector.suite === 0 ? suite0 : suite4(crypto)
  const party = (idCred: string, cred: string, secret: string): OwnCredential => ({
    idCred: decode(fromHex(idCred)),
    cred: fromHex(cred),
    key: crypto.signingKey(fromHex(secret)),
  })
  const initiator = party(vector.idCredI, vector.credI, vector.skI)
  const responder = party(vector.idCredR, vector.credR, vector.skR)
  const traces = { initiator: new Map<string, string>(), responder: new Map<string, string>() }
  const tracer = (side: keyof typeof traces) => (name: string, bytes: Uint8Array) =>
    void traces[side].set(name, toHex(bytes))
  const start: InitiatorStartOptions = {
    crypto,
    suite,
    own: initiator,
    cI: identifier(vector.cI),
    ephemeralSecret: fromHex(vector.x),
    trace: tracer('initiator'),
  }
  const answer: ResponderStartOptions = {
    crypto,
    suite,
    own: responder,
    cR: identifier(vector.cR),
    ephemeralSecret: fromHex(vector.y),
    trace: tracer('responder'),
  }
  return {
    initiator: start,
    responder: answer,
    /** The initiator knows the responder, and the other way round. */
    knowsResponder: knows(crypto, responder),
    knowsInitiator: knows(crypto, initiator),
    traces,
  }
}

/** Resolves to one credential, whatever ID_CRED says. */
export function knows(crypto: Crypto, peer: OwnCredential): ResolvePeer {
  return () => ({ cred: peer.cred, key: crypto.verifyKey(peer.key.publicKey) })
}

type Parties = ReturnType<typeof sessionParties>

/** What a man in the middle does to each message; the identity by default. */
export interface Tamper {
  message1?: (bytes: Uint8Array) => Uint8Array
  message2?: (bytes: Uint8Array) => Uint8Array
  message3?: (bytes: Uint8Array) => Uint8Array
  message4?: (bytes: Uint8Array) => Uint8Array
}

export interface Completed {
  messages: [Uint8Array, Uint8Array, Uint8Array, Uint8Array]
  initiator: Exporter
  responder: Exporter
  responderIdCred: CborValue
  initiatorIdCred: CborValue
  ead: (readonly EadItem[])[]
}

const same = (bytes: Uint8Array) => bytes

/** Runs a whole handshake; throws what the first refusing side throws. */
export function runHandshake(
  parties: Parties,
  tamper: Tamper = {},
  ead: { ead3?: EadItem[]; ead4?: EadItem[] } = {},
): Completed {
  const { message1 = same, message2 = same, message3 = same, message4 = same } = tamper
  const m1 = startInitiator(parties.initiator)
  const m2 = responderMessage1(parties.responder, message1(m1.message1))
  const m3 = initiatorMessage2(
    m1.state,
    message2(m2.message2),
    parties.knowsResponder,
    ead.ead3 ?? [],
  )
  const m4 = responderMessage3(
    m2.state,
    message3(m3.message3),
    parties.knowsInitiator,
    ead.ead4 ?? [],
  )
  const end = initiatorMessage4(m3.state, message4(m4.message4))
  return {
    messages: [m1.message1, m2.message2, m3.message3, m4.message4],
    initiator: end.exporter,
    responder: m4.exporter,
    responderIdCred: m3.peerIdCred,
    initiatorIdCred: m4.peerIdCred,
    ead: [m2.ead1, m3.ead2, m4.ead3, end.ead4],
  }
}
