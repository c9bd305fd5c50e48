/** External authorization data, RFC 9528 §3.8. Opaque to EDHOC but for critical items and padding. */
import { encodeSequence, type CborValue } from '#cbor'
import { edhocError } from './errors.ts'

export interface EadItem {
  /** ead_label; negative means critical: whoever does not know it must give up. */
  readonly label: number
  /** ead_value, or null for none. */
  readonly value: Uint8Array | null
}

/** §3.8.1: padding, ignored and discarded on receipt. */
const PADDING = 0

/** EAD_x as the values of a CBOR sequence; none for no items. */
export function eadValues(items: readonly EadItem[]): CborValue[] {
  return items.flatMap(({ label, value }) => (value === null ? [label] : [label, value]))
}

/** EAD_x as a CBOR sequence; empty for no items. */
export function encodeEad(items: readonly EadItem[]): Uint8Array {
  return encodeSequence(eadValues(items))
}

/**
 * Mirrors `eadValues`, from the items that follow the fixed fields of a message; padding is left
 * out. @throws edhoc/malformed, and edhoc/critical-ead for a critical label that is not `known`
 */
export function decodeEad(
  name: string,
  values: readonly CborValue[],
  known: readonly number[],
): EadItem[] {
  const items: EadItem[] = []
  for (let i = 0; i < values.length; i++) {
    const label = values[i]
    if (typeof label !== 'number') throw edhocError('edhoc/malformed', `${name} has no ead_label`)
    const next = values[i + 1]
    const value = next instanceof Uint8Array ? next : null
    if (value !== null) i += 1
    if (label < 0 && !known.includes(-label))
      throw edhocError('edhoc/critical-ead', `${name} has a critical item ${label} unknown here`)
    if (label !== PADDING) items.push({ label, value })
  }
  return items
}
