export { Backoff } from './backoff.ts'
export { TokenBucket } from './bucket.ts'
export {
  epochOfIdentifier,
  handshakeFrame,
  parseFrame,
  peekIdentifier,
  responderIdentifier,
  unknownSessionFrame,
} from './frames.ts'
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
