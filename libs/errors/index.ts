export { CodedError, codeOf } from './coded-error.ts'
export { exitCodeOf, exitCodes } from './exit-codes.ts'
