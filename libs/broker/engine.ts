import { Aedes, type AedesOptions } from 'aedes'
import { connectionOf, type Connection } from './connection.ts'
import type { BrokerLimits } from './limits.ts'
import type { Reason } from './refusals.ts'
import {
  connectRules,
  mayPublish,
  mayReceive,
  maySubscribe,
  type ConnectRequest,
  type RuleName,
  type Rules,
} from './rules.ts'
import type { Topics } from './topics.ts'

/** What the engine asks of the broker around it. */
export interface EngineHost {
  limits: BrokerLimits
  rules: Rules
  topics: Topics
  holderOf(clientId: string): Connection | null
  /** The connection may use this client id from now on. */
  accepted(connection: Connection, clientId: string): void
  refuse(connection: Connection, reason: Reason): void
  /** `up`, `down` or a message on a control topic, with its payload. */
  published(connection: Connection, topic: string, payload: string | Buffer): void
  /** A message was kept from a client that must not have it. */
  withheld(): void
}

type PreConnect = NonNullable<AedesOptions['preConnect']>
type AuthorizePublish = NonNullable<AedesOptions['authorizePublish']>
type AuthorizeSubscribe = NonNullable<AedesOptions['authorizeSubscribe']>
type AuthorizeForward = NonNullable<AedesOptions['authorizeForward']>

/**
 * About six days between heartbeats. They tell other brokers of a cluster that this one lives;
 * there is none. Aedes multiplies by four, and a timer beyond 2^31 ms would fire at once.
 */
const HEARTBEAT_MS = 500_000_000
const NEVER_MS = 2 ** 31 - 1

/** Aedes with every hook it offers bound to the rules. */
export function createEngine(host: EngineHost): Promise<Aedes> {
  const { limits, rules } = host
  return Aedes.createBroker({
    // No common limit on messages under way: each client's own batch is one already, and a common
    // one would let a single frozen reader use it up for all.
    concurrency: 0,
    heartbeatInterval: HEARTBEAT_MS,
    connectTimeout: rules.has('connect-timeout') ? limits.connectTimeoutMs : NEVER_MS,
    drainTimeout: rules.has('slow-reader') ? limits.drainTimeoutMs : NEVER_MS,
    queueLimit: 8,
    maxTopicLevels: 8,
    preConnect: preConnect(host),
    authorizePublish: authorizePublish(host),
    authorizeSubscribe: authorizeSubscribe(host),
    authorizeForward: authorizeForward(host),
  })
}

function preConnect(host: EngineHost): PreConnect {
  return (client, packet, done) => {
    const connection = connectionOf(client.conn)
    const request: ConnectRequest = {
      party: connection,
      protocolVersion: packet.protocolVersion ?? 0,
      clientId: packet.clientId,
      clean: packet.clean === true,
      hasWill: packet.will !== undefined,
      keepaliveSeconds: packet.keepalive ?? 0,
      keepaliveMaxSeconds: host.limits.keepaliveMaxSeconds,
      holder: host.holderOf(packet.clientId),
    }
    for (const [name, returnCode, isFine] of connectRules) {
      if (!host.rules.has(name) || isFine(request)) continue
      // Aedes would close without a word; the standard's CONNACK tells an honest client why.
      connection.socket.write(Uint8Array.of(0x20, 0x02, 0x00, returnCode))
      host.refuse(connection, name)
      return done(null, false)
    }
    host.accepted(connection, packet.clientId)
    done(null, true)
  }
}

function authorizePublish(host: EngineHost): AuthorizePublish {
  return (client, packet, done) => {
    // Only wills have no client; there are none.
    if (client === null) return done(new Error('no-will'))
    const connection = connectionOf(client.conn)
    const broken = brokenByPublish(host, connection, packet.topic, packet.retain)
    if (broken === null) {
      host.published(connection, packet.topic, packet.payload)
      return done(null)
    }
    host.refuse(connection, broken)
    done(new Error(broken))
  }
}

function brokenByPublish(
  { rules, topics }: EngineHost,
  connection: Connection,
  topic: string,
  retain: boolean,
): RuleName | null {
  if (rules.has('no-retain') && retain) return 'no-retain'
  const mayNot = rules.has('publish-own-topic') && !mayPublish(connection, topic, topics)
  return mayNot ? 'publish-own-topic' : null
}

function authorizeSubscribe(host: EngineHost): AuthorizeSubscribe {
  return (client, subscription, done) => {
    const connection = connectionOf(client.conn)
    const name = 'subscribe-own-topic'
    if (!host.rules.has(name) || maySubscribe(connection, subscription.topic, host.topics))
      return done(null, subscription)
    // The connection ends, whatever else was in the same packet.
    host.refuse(connection, name)
    done(new Error(name))
  }
}

function authorizeForward(host: EngineHost): AuthorizeForward {
  return (client, packet) => {
    const connection = connectionOf(client.conn)
    const name = 'forward-own-topic'
    if (!host.rules.has(name) || mayReceive(connection, packet.topic, host.topics)) return packet
    host.withheld()
    return null
  }
}
