export type {
  InitiatorLink,
  InitiatorLinkOptions,
  LinkLog,
  LinkOptions,
  ResponderLink,
  ResponderLinkOptions,
  Target,
} from './types.ts'
