export { openConnection, type Connection } from './connection.ts'
export { runInitiator } from './initiator.ts'
export { runResponder } from './responder.ts'
export type {
  InitiatorLink,
  InitiatorLinkOptions,
  LinkLog,
  ResponderLink,
  Target,
} from './types.ts'
