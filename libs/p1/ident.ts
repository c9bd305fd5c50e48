/** Where meters say which one they are, the most trusted first. */
export const identityCodes = [
  // DSMR, e-MUCS; Hungary; Luxembourg (logical device name); EasyMeter.
  '0-0:96.1.1',
  '0-0:96.1.0',
  '0-0:42.0.0',
  '1-0:0.0.0',
  '0-0:96.1.255',
] as const

/**
 * A number as meters write it: often each character as two hexadecimal digits (companion standard
 * 5.0.2 §6.4, Sn as octet string), sometimes as it is. Null for none: empty, or only zeros.
 */
export function meterIdFrom(text: string): string | null {
  if (/^0*$/.test(text)) return null
  const characters = /^(?:[0-9A-Fa-f]{2})+$/.test(text)
    ? text.replace(/../g, (pair) => String.fromCharCode(Number.parseInt(pair, 16)))
    : text
  return /^[\x21-\x7e]+$/.test(characters) ? characters : text
}
