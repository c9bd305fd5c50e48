export { createInitiator } from './initiator.ts'
export { createResponder } from './responder.ts'
export type {
  ChannelDependencies,
  ChannelLimits,
  Identity,
  Initiator,
  InitiatorCounters,
  InitiatorOptions,
  InitiatorState,
  Output,
  Responder,
  ResponderCounters,
  ResponderOptions,
  ResponderOutput,
} from './types.ts'
