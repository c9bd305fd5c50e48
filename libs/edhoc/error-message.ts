/** error = ( ERR_CODE : int, ERR_INFO : any ), RFC 9528 §6. Never authenticated: a hint, no more. */
import { encodeSequence, type CborValue } from '#cbor'
import { codeOf } from '#errors'
import { edhocError } from './errors.ts'
import { decodeItems } from './sequence.ts'
import { compactSuites, expandSuites } from './suites.ts'

/** §6. */
export const ERR_CODE = {
  success: 0,
  unspecified: 1,
  wrongSuite: 2,
  unknownCredential: 3,
} as const

export type ErrorMessage =
  /** §6.1: reserved, never sent. Whoever receives it aborts and answers nothing. */
  | { readonly code: 0 }
  /** §6.2: a text for people debugging. */
  | { readonly code: 1; readonly text: string }
  /** §6.3: SUITES_R, only in answer to message_1. */
  | { readonly code: 2; readonly suites: readonly number[] }
  /** §6.4 */
  | { readonly code: 3 }
  /** A code registered after this was written. */
  | { readonly code: 'other'; readonly number: number; readonly info: CborValue }

/** @throws edhoc/bad-argument for code 0, which MUST NOT be sent (§6.1) */
export function encodeError(error: ErrorMessage): Uint8Array {
  switch (error.code) {
    case 0:
      throw edhocError('edhoc/bad-argument', 'ERR_CODE 0 is never sent')
    case 1:
      return encodeSequence([ERR_CODE.unspecified, error.text])
    case 2:
      return encodeSequence([ERR_CODE.wrongSuite, compactSuites(error.suites)])
    case 3:
      return encodeSequence([ERR_CODE.unknownCredential, true])
    default:
      return encodeSequence([error.number, error.info])
  }
}

/** Mirrors `encodeError`. @throws edhoc/malformed, edhoc/too-large */
export function decodeError(bytes: Uint8Array): ErrorMessage {
  const [number, info, ...rest] = decodeItems('error', bytes)
  if (typeof number !== 'number') throw edhocError('edhoc/malformed', 'ERR_CODE is not an integer')
  // ERR_CODE 0 has no ERR_INFO defined; whatever follows it does not matter.
  if (number === ERR_CODE.success) return { code: 0 }
  if (info === undefined || rest.length > 0)
    throw edhocError('edhoc/malformed', 'an error message has two items')
  switch (number) {
    case ERR_CODE.unspecified:
      if (typeof info !== 'string') throw edhocError('edhoc/malformed', 'ERR_INFO is not a text')
      return { code: 1, text: info }
    case ERR_CODE.wrongSuite:
      return { code: 2, suites: expandSuites('SUITES_R', info) }
    case ERR_CODE.unknownCredential:
      if (info !== true) throw edhocError('edhoc/malformed', 'ERR_INFO is not true')
      return { code: 3 }
    default:
      return { code: 'other', number, info }
  }
}

/**
 * Whether bytes that are not message_1 form an error: it begins with an integer, while message_2,
 * message_3 and message_4 begin with a byte string.
 */
export function isErrorMessage(bytes: Uint8Array): boolean {
  const first = bytes[0]
  return first !== undefined && first < 0x40
}

/**
 * The error message to send for something thrown while a message was processed. The text is the
 * stable error code: enough to debug with, and it says nothing about us.
 */
export function errorMessageFor(thrown: unknown, supported: readonly number[]): Uint8Array {
  const code = codeOf(thrown)
  if (code === 'edhoc/wrong-suite') return encodeError({ code: 2, suites: supported })
  if (code === 'edhoc/unknown-credential') return encodeError({ code: 3 })
  return encodeError({ code: 1, text: code })
}
