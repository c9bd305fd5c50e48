export { openConnection, type Connection } from './connection.ts'
export { runInitiator } from './initiator.ts'
export { runResponder } from './responder.ts'
export { topicPrefix } from './topics.ts'
export type {
  Finder,
  InitiatorLink,
  InitiatorLinkOptions,
  LinkLog,
  ResponderLink,
  Target,
} from './types.ts'
