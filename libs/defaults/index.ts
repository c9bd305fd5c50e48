/**
 * Every number a deployment may want to know, in one place. Durations carry their unit in the name;
 * `record` follows the limits of OSCORE and DTLS 1.3 (see libs/record/README.md).
 */
export const defaults = {
  topicRoot: 'fm/1',
  /** 2025-01-01, s since 1970: a machine that says it is earlier does not know the time. */
  neverSetS: 1_735_689_600,
  record: {
    replayWindow: 64,
    rekeyAfterMs: 24 * 3_600_000,
    rekeyAfterRecords: 2 ** 16,
    refuseAfterMs: 48 * 3_600_000,
    refuseAfterRecords: 2 ** 20,
    oldEpochMs: 600_000,
    alarmAfterFailures: 2 ** 10,
    dropAfterFailures: 2 ** 16,
  },
  handshake: {
    retransmitMs: 2_000,
    giveUpMs: 10_000,
    /** message_1 per responder: bucket size and refill. EDHOC itself has no denial-of-service protection (RFC 9528 §9.7). */
    burst: 2_000,
    perSecond: 200,
  },
  backoff: { firstMs: 1_000, maxMs: 120_000 },
  /** A node's own broker has one node to serve: there is no fleet to spread. */
  ownBrokerBackoff: { firstMs: 500, maxMs: 5_000 },
  block: { maxReadings: 16, maxSeconds: 60, boundarySeconds: 900, hardMaxReadings: 64 },
  /** What is kept for somebody who does not answer; see #meter and #fog for what goes first. */
  outbox: { meterBlocks: 200_000, meterStatements: 1_000_000, fogItems: 1_000_000 },
  /** Kept per store of what the receiver will never take, for whoever wants to know why; older ones go. */
  refusedKept: 1_000,
  delivery: { windowItems: 64, resendAfterMs: 30_000 },
  window: {
    seconds: 900,
    graceSeconds: 120,
    idleSeconds: 180,
    minMeters: 1,
    revisionDelayMs: 5_000,
  },
  /** Most meters learn the time within minutes; six hours outlast most failures of a network. */
  time: { maxWaitMs: 6 * 3_600_000, silenceIntervals: 5 },
  commit: { intervalMs: 50, maxBlocks: 512 },
  retentionDays: 7,
  broker: {
    connectBytes: 1_024,
    packetBytes: 4_096,
    connectTimeoutMs: 3_000,
    admitTimeoutMs: 10_000,
    keepaliveMaxSeconds: 1_200,
    drainTimeoutMs: 3_000,
    connectionsPerAddress: 2_000,
    packetsPerSecond: 200,
    bytesPerSecond: 262_144,
  },
  /** Of one client address. */
  http: {
    requestsPerMinute: 600,
    enrolmentsPerMinute: 30,
    /** Far below the descriptors of a process: those who only knock leave some for the store and the broker. */
    connections: 1_000,
    /** For a whole request to arrive. */
    requestTimeoutMs: 10_000,
  },
  revocationPollMs: 10_000,
} as const
