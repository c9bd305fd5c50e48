export { CodedError, codeOf, wordsOf } from './coded-error.ts'
export { exitCodeOf, exitCodes } from './exit-codes.ts'
