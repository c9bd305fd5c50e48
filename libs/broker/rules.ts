import { channelOf, isChannelId, type Topics } from './topics.ts'

/**
 * Everything the broker refuses, by name; the name is also the reason in logs and metrics. A test
 * can build a broker without one of them, to show that the rule is what stops the attack. Programs
 * cannot: there is no setting for it.
 */
export const ruleNames = [
  // Before MQTT: libs/broker/doors.ts and frame-guard.ts.
  'connections',
  'connections-per-address',
  'connect-timeout',
  'packet-type',
  'packet-size',
  'packet-rate',
  // CONNECT
  'protocol-version',
  'client-id',
  'no-takeover',
  'clean-session',
  'no-will',
  'keepalive',
  // Afterwards
  'admission',
  'publish-own-topic',
  'no-retain',
  'control-local-only',
  'subscribe-own-topic',
  'forward-own-topic',
  'slow-reader',
] as const

export type RuleName = (typeof ruleNames)[number]
export type Rules = ReadonlySet<RuleName>

export const allRules: Rules = new Set(ruleNames)

/** All rules but these. For tests. */
export function without(...names: RuleName[]): Rules {
  return new Set(ruleNames.filter((name) => !names.includes(name)))
}

/** Who is asking: by which door the connection came in, never what it says about itself. */
export interface Party {
  readonly local: boolean
  /** MQTT client id, once accepted. */
  readonly clientId: string | null
}

/** What the rules on CONNECT look at. */
export interface ConnectRequest {
  party: Party
  protocolVersion: number
  clientId: string
  clean: boolean
  hasWill: boolean
  keepaliveSeconds: number
  keepaliveMaxSeconds: number
  /** The live connection that has this client id, if any. */
  holder: Party | null
}

/** True: fine. The first rule that says false is the reason, with its CONNACK return code. */
export const connectRules: readonly [RuleName, number, (request: ConnectRequest) => boolean][] = [
  ['protocol-version', 1, ({ protocolVersion }) => protocolVersion === 4],
  // A local id never looks like a channel, so that the two kinds cannot meet.
  ['client-id', 2, ({ party, clientId }) => fitsDoor(party, clientId)],
  // MQTT lets the newcomer win (MQTT-3.1.4-2): anyone who saw an id could disconnect its owner.
  // Among local programs the newcomer does win, so that a restarted agent is not locked out.
  ['no-takeover', 2, ({ party, holder }) => holder === null || (party.local && holder.local)],
  // Sessions that persist are memory for strangers and outlive their permission.
  ['clean-session', 5, ({ clean }) => clean],
  ['no-will', 5, ({ hasWill }) => !hasWill],
  ['keepalive', 5, isKeepaliveBounded],
]

function fitsDoor(party: Party, clientId: string): boolean {
  if (!party.local) return isChannelId(clientId)
  return clientId !== '' && clientId.length <= 64 && !isChannelId(clientId)
}

function isKeepaliveBounded(request: ConnectRequest): boolean {
  const { party, keepaliveSeconds, keepaliveMaxSeconds } = request
  return party.local || (keepaliveSeconds > 0 && keepaliveSeconds <= keepaliveMaxSeconds)
}

/** Network clients write to their own up topic; the agent writes to channels and their control. */
export function mayPublish({ local, clientId }: Party, topic: string, topics: Topics): boolean {
  if (!local) return clientId !== null && topic === topics.up + clientId
  return channelOf(topic, topics.down) !== null || channelOf(topic, topics.control) !== null
}

/** Network clients listen to their own dn topic and the agent to everything going up, nothing else. */
export function maySubscribe({ local, clientId }: Party, filter: string, topics: Topics): boolean {
  if (local) return filter === `${topics.up}#`
  return clientId !== null && filter === topics.down + clientId
}

/** Asked again for every message on its way out, whatever subscription it matched. */
export function mayReceive({ local, clientId }: Party, topic: string, topics: Topics): boolean {
  if (local) return topic.startsWith(topics.up)
  return clientId !== null && topic === topics.down + clientId
}
