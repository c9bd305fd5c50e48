import type { Credential, Role, Trust } from '#credential'
import type { Crypto, SigningKey } from '#crypto'
import type { Suite } from '#edhoc'
import type { Clock, Random } from '#ports'

/** What a device proves itself with: its credential and the private key the credential names. */
export interface Identity {
  readonly credential: Credential
  readonly key: SigningKey
}

/** What both sides of a channel need. Nothing here reads a clock, a socket or randomness by itself. */
export interface ChannelDependencies {
  readonly crypto: Crypto
  readonly random: Random
  readonly clock: Clock
  readonly own: Identity
  readonly trust: Trust
  /** Role the peer's credential must carry. */
  readonly peerRole: Role
  /** EDHOC cipher suite; suite 4 when absent. */
  readonly suite?: Suite
  /** Timings and limits that differ from `#defaults`. */
  readonly limits?: Partial<ChannelLimits>
}

/** Timings and bounds of a channel, in milliseconds where the name says so. */
export interface ChannelLimits {
  /** A stored message_1 or message_3 is sent again after this time without an answer. */
  retransmitMs: number
  /** A handshake without a result after this time has failed. */
  giveUpMs: number
  /** The initiator starts a new epoch at this age (a little earlier, at random, so fleets spread). */
  rekeyAfterMs: number
  /** … or after this many records in one direction. */
  rekeyAfterRecords: number
  /** A session without fresh keys for this long is over. */
  refuseAfterMs: number
  /** The responder judges every session's credential again after this time: they expire. */
  recheckMs: number
  /** How long records of the epoch before are still opened. */
  oldEpochMs: number
  /** Shortest time between two reactions to "unknown session"; the reaction itself waits up to half of it more. */
  unknownSessionMs: number
  /** Responder: unfinished handshakes held at once, all channels together. */
  halfOpen: number
  /** Responder: channels remembered for limiting "unknown session" answers. */
  unknownChannels: number
  /** Responder: channels one device may hold; the oldest is dropped. Layers above usually keep one. */
  channelsPerDevice: number
  /** Responder: message_1 token bucket for channels without a session. */
  burst: number
  perSecond: number
}

export interface InitiatorOptions extends ChannelDependencies {
  /** Name the responder must prove: the `deviceId` in its credential. */
  readonly node: string
  /** Channel id: 8 base64url characters, new for every connection, also the MQTT client id. */
  readonly channelId: string
  /** Group the responder's credential must carry; not checked when absent. */
  readonly group?: string
}

export type InitiatorState = 'idle' | 'handshake' | 'open' | 'closed'

/** What the initiator asks its driver to do, in order. */
export type Output =
  /** Publish these bytes on `up/<cid>`. */
  | { readonly type: 'frame'; readonly bytes: Uint8Array }
  /** An authenticated, fresh message from the responder. */
  | { readonly type: 'message'; readonly payload: Uint8Array }
  /**
   * The channel is open under a new epoch. `rekey` is true when the session simply goes on under
   * fresh keys; false when the responder may have forgotten us (first epoch, or it restarted), so
   * the layer above should greet again and resend.
   */
  | {
      readonly type: 'open'
      readonly peer: Credential
      readonly epoch: number
      readonly rekey: boolean
    }
  /**
   * The channel is finished; make a new one. `retry` false means that trying again soon cannot help
   * (untrusted, revoked, wrong role or name): still retry, but at the longest back-off. `detail`
   * says more: what we found wrong with the peer, in words, or the code the peer gave for refusing
   * us, for which nothing vouches.
   */
  | {
      readonly type: 'closed'
      readonly code: string
      readonly retry: boolean
      readonly detail: string | null
    }

/** Initiator of one channel. Sans-IO: feed it frames and time, do what it returns. */
export interface Initiator {
  readonly channelId: string
  readonly state: InitiatorState
  /** The responder's credential once open, else null. */
  readonly peer: Credential | null
  /** Monotonic time (ms) at which `tick` wants to be called next; Infinity when never. Read it again after every call. */
  readonly nextTickAt: number
  /** Sends message_1. Once. */
  start(): Output[]
  /** Handles one frame from `dn/<cid>`. Never throws. */
  receive(frame: Uint8Array): Output[]
  /** Retransmits, gives up, rekeys. Never throws. */
  tick(): Output[]
  /** Seals a message into a frame for `up/<cid>`. Throws `channel/not-open`, `record/exhausted`. */
  send(payload: Uint8Array): Uint8Array
  /** Forgets all keys. Returns nothing to send: the connection itself is closed by the driver. */
  close(): void
  counters(): InitiatorCounters
}

export interface InitiatorCounters {
  readonly handshakes: number
  readonly sealed: number
  readonly opened: number
  readonly refused: number
  readonly unknownSession: number
}

export interface ResponderOptions extends ChannelDependencies {
  /** Group an initiator's credential must carry; null accepts every group. */
  readonly group: string | null
}

/** What the responder asks its driver to do, in order. */
export type ResponderOutput =
  /** Publish these bytes on `dn/<cid>`. */
  | { readonly type: 'frame'; readonly cid: string; readonly bytes: Uint8Array }
  /** This channel has a session with `peer`. `rekey` true: the same device already had one on this channel. */
  | {
      readonly type: 'open'
      readonly cid: string
      readonly peer: Credential
      readonly epoch: number
      readonly rekey: boolean
    }
  /** An authenticated, fresh message. `payload` may be a view into the received buffer's decryption; it is yours. */
  | {
      readonly type: 'message'
      readonly cid: string
      readonly peer: Credential
      readonly payload: Uint8Array
    }
  /**
   * Nothing is left on this channel: its session ended or, with peer null, its first handshake
   * failed. `detail` then says in words what was wrong with the peer, if that is known.
   */
  | {
      readonly type: 'closed'
      readonly cid: string
      readonly peer: Credential | null
      readonly code: string
      readonly detail: string | null
    }

/** Responder for any number of channels. Sans-IO. */
export interface Responder {
  /** Handles one frame from `up/<cid>`. Never throws. */
  receive(cid: string, frame: Uint8Array): ResponderOutput[]
  /** Drops what is out of date; call about once a second. */
  tick(): ResponderOutput[]
  /** Seals a message for `dn/<cid>`; null when the channel has no usable session. */
  send(cid: string, payload: Uint8Array): Uint8Array | null
  /** Ends the session on a channel (superseded, misbehaving). Empty when there is none. */
  drop(cid: string, code: string): ResponderOutput[]
  /** Ends every session of a device (revoked). */
  dropDevice(deviceId: string, code: string): ResponderOutput[]
  /** Judges every session's credential again now; for a new revocation list. `tick` does it every minute. */
  recheck(): ResponderOutput[]
  /** The authenticated peer of a channel, or null. */
  peerOf(cid: string): Credential | null
  /** Channels with a session of this device, oldest first. */
  channelsOf(deviceId: string): string[]
  counters(): ResponderCounters
}

export interface ResponderCounters {
  readonly sessions: number
  readonly halfOpen: number
  /** Handshakes completed. */
  readonly handshakes: number
  /** Handshakes refused, by error code. */
  readonly handshakesRefused: Readonly<Record<string, number>>
  /** message_1 ignored because the bucket was empty. */
  readonly handshakesLimited: number
  readonly opened: number
  /** Records refused, by reason. */
  readonly refused: Readonly<Record<string, number>>
  readonly unknownSession: number
  /** Sessions whose failed openings reached the alarm level. */
  readonly alarms: number
}
