import type { Clock } from '#ports'
import type { NetworkListener, TlsFiles } from './doors.ts'
import type { BrokerLimits } from './limits.ts'
import type { BrokerLog, Reason } from './refusals.ts'
import type { Rules } from './rules.ts'

export interface BrokerOptions {
  /** Name of the node behind this broker, part of its topics. */
  node: string
  listen: readonly NetworkListener[]
  /** For listeners with `tls`. */
  tls?: TlsFiles | null
  /** Path of the Unix socket for the agent. */
  socket: string
  limits?: Partial<BrokerLimits>
  clock: Clock
  log?: BrokerLog
  /** All of them, unless a test asks what one of them is good for. */
  rules?: Rules
}

/** Totals since the start, except `connections`, `waiting` and `agents`, which are as of now. */
export interface BrokerCounters {
  /** Network connections open. */
  connections: number
  /** Of these, not admitted yet. */
  waiting: number
  /** Local connections that receive what goes up. */
  agents: number
  accepted: number
  admitted: number
  messagesUp: number
  messagesDown: number
  throttled: number
  withheld: number
  refused: ReadonlyMap<Reason, number>
}

export interface Broker {
  /** Ports in use, in the order of `listen`. */
  readonly ports: readonly number[]
  counters(): BrokerCounters
  /** Null when messages can flow, else what is missing. */
  health(): string | null
  /** Resolves when an internal message has made its way through: the broker still works. */
  probe(): Promise<void>
  close(): Promise<void>
}
