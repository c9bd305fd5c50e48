import type { Credential } from '#credential'
import {
  responderMessage1,
  responderMessage3,
  type Exporter,
  type OwnCredential,
  type Suite,
} from '#edhoc'
import { CodedError } from '#errors'
import { handshakeFrame } from './frames.ts'
import type { HalfOpen } from './half-open.ts'
import { peerResolver, type PeerRule } from './peers.ts'
import type { ChannelDependencies } from './types.ts'

/** What the responder's half of a handshake needs; the same for all channels. */
export interface Acceptor {
  readonly deps: ChannelDependencies
  readonly suite: Suite
  readonly own: OwnCredential
  readonly rule: PeerRule
}

export interface Offer {
  readonly cid: string
  readonly cI: number
  readonly cR: number
  readonly epoch: number
  readonly message1: Uint8Array
  readonly nowMs: number
}

/** message_1 → message_2 (RFC 9528 §5.2.3, §5.3.2). Throws what `#edhoc` throws. */
export function answerMessage1(acceptor: Acceptor, offer: Offer): HalfOpen {
  const { deps, suite, own } = acceptor
  const { cid, cI, cR, epoch } = offer
  const message1 = offer.message1.slice()
  const { state, message2 } = responderMessage1(
    {
      crypto: deps.crypto,
      suite,
      own,
      cR: Uint8Array.of(cR),
      ephemeralSecret: deps.random(32),
    },
    message1,
  )
  const frame2 = handshakeFrame(cI, message2)
  return { cid, cI, cR, epoch, state, message1, frame2, startedAtMs: offer.nowMs }
}

/** A peer that has proved who it is, and the answer that gives it its keys. */
export interface Accepted {
  readonly peer: Credential
  readonly exporter: Exporter
  readonly frame4: Uint8Array
}

/**
 * message_3 → message_4 (RFC 9528 §5.4.3, §5.5.2). `check` may refuse the peer for reasons of the
 * channel. Throws what `#edhoc`, `#credential` and `check` throw.
 */
export function answerMessage3(
  acceptor: Acceptor,
  half: HalfOpen,
  message3: Uint8Array,
  check: (peer: Credential) => void,
): Accepted {
  const { deps, rule } = acceptor
  let peer: Credential | null = null
  const resolve = peerResolver(deps.trust, rule, (found) => {
    check(found)
    peer = found
  })
  const { message4, exporter } = responderMessage3(half.state, message3, resolve)
  if (peer === null) throw new CodedError('channel/credential-type', 'no credential was judged')
  return { peer, exporter, frame4: handshakeFrame(half.cI, message4) }
}
