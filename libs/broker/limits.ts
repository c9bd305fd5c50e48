import { defaults } from '#defaults'

/** Bounds on what strangers can make the broker do. Times in milliseconds unless named otherwise. */
export interface BrokerLimits {
  /** Network connections at the same time, in total and from one address. */
  connections: number
  connectionsPerAddress: number
  /** Largest first packet and largest later one, by the length they claim, header not counted. */
  connectBytes: number
  packetBytes: number
  connectTimeoutMs: number
  admitTimeoutMs: number
  keepaliveMaxSeconds: number
  drainTimeoutMs: number
  packetsPerSecond: number
  bytesPerSecond: number
}

export const defaultLimits: BrokerLimits = {
  connections: 10_000,
  connectionsPerAddress: defaults.broker.connectionsPerAddress,
  connectBytes: defaults.broker.connectBytes,
  packetBytes: defaults.broker.packetBytes,
  connectTimeoutMs: defaults.broker.connectTimeoutMs,
  admitTimeoutMs: defaults.broker.admitTimeoutMs,
  keepaliveMaxSeconds: defaults.broker.keepaliveMaxSeconds,
  drainTimeoutMs: defaults.broker.drainTimeoutMs,
  packetsPerSecond: defaults.broker.packetsPerSecond,
  bytesPerSecond: defaults.broker.bytesPerSecond,
}

/** What waits unsent for one client at most, in bytes. Receipts are small and only the last counts. */
export const SEND_BUFFER_BYTES = 65_536

/** Packets on the local socket may be larger: a revocation list travels there in one piece. */
export const LOCAL_PACKET_BYTES = 1_048_576
