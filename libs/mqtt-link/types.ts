import type { ChannelDependencies, InitiatorCounters, Responder } from '#channel'
import type { Credential } from '#credential'
import type { Clock } from '#ports'

/** Where a broker listens and who answers behind it. */
export interface Target {
  /** `mqtt://host:port`, `mqtts://host:port` or `unix:///path/to/socket`. */
  readonly url: string
  /** Name the responder behind that broker must prove. */
  readonly node: string
  /** For `mqtts`: certificates to trust instead of the system's, as PEM or as the path of a PEM file. */
  readonly ca?: string | Uint8Array
}

/** Structured logging as pino offers it; every method takes data first, then a constant sentence. */
export interface LinkLog {
  debug(data: object, message: string): void
  info(data: object, message: string): void
  warn(data: object, message: string): void
}

export interface LinkOptions {
  /** MQTT keep-alive in seconds; 60 when absent. */
  readonly keepaliveSeconds?: number
  /** Milliseconds until a connection without CONNACK is given up; 10 000 when absent. */
  readonly connectTimeoutMs?: number
  /** Back-off between attempts, full jitter; `defaults.backoff` or `ownBrokerBackoff` when absent. */
  readonly backoff?: { readonly firstMs: number; readonly maxMs: number }
  /** For a broker that wants them; Fogmeter's own does not. */
  readonly username?: string
  readonly password?: string
  readonly log?: LinkLog
}

/** Looks for places to go, where they are not known beforehand. */
export interface Finder {
  /**
   * Where a node says that it is, best first; empty when nobody answers. Nothing of it is believed: the
   * handshake proves who is there. Asked again once each of them has failed.
   */
  find(): Promise<readonly Target[]>
  /** What came of one of them: whether the node proved itself there. */
  tried(target: Target, proved: boolean): void
}

/** Where to go: after a failed attempt the next place is tried, in order, then again the first. */
export type Destination =
  (Target & { readonly alternatives?: readonly Target[] }) | { readonly finder: Finder }

export type InitiatorLinkOptions = InitiatorSettings & Destination

export interface InitiatorSettings extends LinkOptions, ChannelDependencies {
  /** Group the responder must be in; not checked when absent. */
  readonly group?: string
  /**
   * The channel is open. With `rekey` false this is a new session (also when the responder
   * restarted on the same connection): greet and resend. With `rekey` true nothing needs doing.
   */
  readonly onOpen: (peer: Credential, rekey: boolean) => void
  readonly onMessage: (payload: Uint8Array) => void
  /** The socket has room again after `send` returned false. */
  readonly onDrain?: () => void
  /**
   * The channel is gone, or an attempt to open one has failed; a new one will be tried by itself.
   * `retry` false: not soon, since the reason (`code`) lies in credentials or configuration.
   */
  readonly onClosed: (code: string, retry: boolean) => void
}

/** One connection kept alive for ever, until `close`. */
export interface InitiatorLink {
  readonly state: 'connecting' | 'open' | 'waiting' | 'closed'
  /** The target in use or tried next; null while one is looked for. */
  readonly target: Target | null
  readonly channelId: string | null
  /** Totals over all channels so far. */
  counters(): InitiatorCounters
  /** Connections begun so far. */
  attempts(): number
  /**
   * Seals and publishes one message. False when it did not leave (not open, or the socket's buffer
   * is above its limit): keep it and try again after the next `onOpen` or `onDrain`.
   */
  send(payload: Uint8Array): boolean
  /** Gives up the present connection and makes a new one, after the back-off (nobody answers receipts). */
  reconnect(code: string): void
  /**
   * The responder says that another channel has taken this one's place: two programs have one
   * identity. Connects again, but ever more slowly, so that they do not end each other every second.
   */
  superseded(): void
  /** Disconnects and stays so. */
  close(): Promise<void>
}

export interface ResponderLinkOptions extends LinkOptions {
  readonly url: string
  readonly ca?: string | Uint8Array
  /** Own node name: the middle part of the topics. */
  readonly node: string
  readonly responder: Responder
  /** By which the certificate of an `mqtts` broker is judged; see `ConnectionOptions`. */
  readonly clock?: Pick<Clock, 'now'>
  readonly onOpen?: (cid: string, peer: Credential, rekey: boolean) => void
  /** Return a promise to hold back the broker until it settles (back-pressure). */
  readonly onMessage: (cid: string, peer: Credential, payload: Uint8Array) => void | Promise<void>
  readonly onClosed?: (cid: string, peer: Credential | null, code: string) => void
  /** Called once after each burst of messages that arrived together, to work on them as a group. */
  readonly onIdle?: () => void
  /** The subscription is in place (again) / the broker is gone. */
  readonly onUp?: () => void
  readonly onDown?: () => void
}

/** The responder's connection to its broker, kept alive for ever, until `close`. */
export interface ResponderLink {
  readonly up: boolean
  /** Seals and publishes to one channel; false when there is no session or no broker. */
  send(cid: string, payload: Uint8Array): boolean
  /** Ends a session and tells the broker to disconnect its client. */
  drop(cid: string, code: string): void
  dropDevice(deviceId: string, code: string): void
  /** Judges the credentials of all sessions again; call it after a new revocation list. */
  recheck(): void
  close(): Promise<void>
}
