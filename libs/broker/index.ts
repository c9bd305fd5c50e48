/** The keyless broker: Aedes behind a frame guard, with the rules of the protocol's MQTT binding. */
export { createBroker } from './broker.ts'
export type { Broker, BrokerCounters, BrokerOptions } from './types.ts'
export type { NetworkListener, TlsFiles } from './doors.ts'
export { FrameGuard, type GuardLimits, type Violation } from './frame-guard.ts'
export { defaultLimits, type BrokerLimits } from './limits.ts'
export type { BrokerLog, Reason } from './refusals.ts'
export { allRules, ruleNames, without, type RuleName, type Rules } from './rules.ts'
