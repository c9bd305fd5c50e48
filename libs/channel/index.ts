export { Backoff } from './backoff.ts'
export { createInitiator } from './initiator.ts'
export { createResponder } from './responder.ts'
export type {
  ChannelDependencies,
  ChannelLimits,
  Identity,
  Initiator,
  InitiatorCounters,
  Output,
  Responder,
  ResponderOutput,
} from './types.ts'
