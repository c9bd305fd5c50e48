/** The keyless broker: Aedes behind a frame guard, with the rules of the protocol's MQTT binding. */
export { createBroker } from './broker.ts'
export type { Broker, BrokerCounters } from './types.ts'
export type { TlsFiles } from './doors.ts'
export { FrameGuard, NO_RATE, type GuardLimits, type Violation } from './frame-guard.ts'
export type { BrokerLimits } from './limits.ts'
export { allRules, without, type RuleName, type Rules } from './rules.ts'
