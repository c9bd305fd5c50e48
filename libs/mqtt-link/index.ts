export { runInitiator } from './initiator.ts'
export { runResponder } from './responder.ts'
export type {
  InitiatorLink,
  InitiatorLinkOptions,
  LinkLog,
  LinkOptions,
  ResponderLink,
  ResponderLinkOptions,
  Target,
} from './types.ts'
