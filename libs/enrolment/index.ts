/** How a key made on a device comes to its name: requests, approvals, answers. See README.md. */
export { checkAnswer } from './accept.ts'
export { claimCode, fingerprintOf, fingerprintOfWords, parseCode } from './code.ts'
export { createEnrolmentDesk, type DeskOptions, type EnrolmentDesk, type Refusal } from './desk.ts'
export { decodeRequest, encodeRequest } from './request.ts'
export type { Approval, Enrolment, EnrolmentStore } from './store.ts'
export { newToken, tokenKey } from './token.ts'
