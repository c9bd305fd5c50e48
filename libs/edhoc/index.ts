/** Authenticated key exchange: EDHOC, RFC 9528, method 0. See README.md for the application profile. */
export type { EadItem } from './ead.ts'
export {
  decodeError,
  encodeError,
  errorMessageFor,
  isErrorMessage,
  type ErrorMessage,
} from './error-message.ts'
export type { Exporter } from './exporter.ts'
export { initiatorMessage2, initiatorMessage4, startInitiator } from './initiator.ts'
export type { InitiatorStartOptions } from './initiator.ts'
export { kcwt, kcwtFrom } from './kcwt.ts'
export { responderMessage1, responderMessage3 } from './responder.ts'
export type { ResponderStartOptions } from './responder.ts'
export { abandon } from './state.ts'
export { suite4 } from './suite.ts'
export type {
  InitiatorWait2,
  InitiatorWait4,
  OwnCredential,
  ResolvePeer,
  ResponderWait3,
  Suite,
} from './types.ts'
