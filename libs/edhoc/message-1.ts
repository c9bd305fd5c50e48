/**
 * message_1 = ( METHOD : int, SUITES_I : suites, G_X : bstr, C_I : bstr / -24..23, ? EAD_1 )
 * RFC 9528 §5.2
 */
import { encodeSequence } from '#cbor'
import { decodeEad, eadValues, type EadItem } from './ead.ts'
import { edhocError } from './errors.ts'
import { decodeIdentifier, encodeIdentifier } from './identifier.ts'
import { decodeItems } from './sequence.ts'
import { compactSuites, expandSuites } from './suites.ts'

/** §3.2: both parties sign. The only method supported. */
export const METHOD_SIGNATURES = 0

export interface Message1 {
  /** SUITES_I: in order of the initiator's preference, the selected suite last. */
  readonly suites: readonly number[]
  readonly gX: Uint8Array
  readonly cI: Uint8Array
  readonly ead: readonly EadItem[]
}

export function encodeMessage1({ suites, gX, cI, ead }: Message1): Uint8Array {
  const fields = [METHOD_SIGNATURES, compactSuites(suites), gX, encodeIdentifier(cI)]
  return encodeSequence([...fields, ...eadValues(ead)])
}

/**
 * Mirrors `encodeMessage1`. The form is checked before the content, so that the error names what
 * is wrong with the bytes rather than the first thing we do not support.
 * @throws edhoc/malformed, edhoc/too-large, edhoc/unsupported-method, edhoc/wrong-suite,
 *   edhoc/critical-ead
 */
export function decodeMessage1(
  bytes: Uint8Array,
  supported: number,
  knownEad: readonly number[],
): Message1 {
  const [method, suitesField, gX, cIField, ...rest] = decodeItems('message_1', bytes)
  if (typeof method !== 'number') throw edhocError('edhoc/malformed', 'METHOD is not an integer')
  const suites = expandSuites('SUITES_I', suitesField)
  if (!(gX instanceof Uint8Array)) throw edhocError('edhoc/malformed', 'G_X is not a byte string')
  const cI = decodeIdentifier('C_I', cIField)
  if (method !== METHOD_SIGNATURES)
    throw edhocError('edhoc/unsupported-method', `method ${method} is not supported`)
  // §5.2.3: the selected suite is ours, and none the initiator prefers to it is.
  if (suites.indexOf(supported) !== suites.length - 1)
    throw edhocError('edhoc/wrong-suite', `SUITES_I ${suites.join(', ')} does not select our suite`)
  return { suites, gX, cI, ead: decodeEad('EAD_1', rest, knownEad) }
}
