/**
 * A key's fingerprint as eight words, for people to compare and to type: the first 88 bits of its
 * hash, 11 to a word. Whoever wants another key with the same words needs some 2^88 tries.
 * The list is the English one of BIP 39, whose words differ within their first four letters.
 */
import { wordlist } from '@scure/bip39/wordlists/english.js'
import { concat, utf8 } from '#bytes'
import type { Crypto } from '#crypto'
import { CodedError } from '#errors'

const PURPOSE = utf8('fogmeter claim 1')
const FINGERPRINT_LENGTH = 11
export const CODE_WORDS = 8
const BITS = 11

export function fingerprintOf(crypto: Pick<Crypto, 'sha256'>, publicKey: Uint8Array): Uint8Array {
  return crypto.sha256(concat(PURPOSE, publicKey)).subarray(0, FINGERPRINT_LENGTH)
}

/** Joined by hyphens, so that a double click or a QR code takes all of it. */
export function claimCode(fingerprint: Uint8Array): string {
  let bits = BigInt(0)
  for (const byte of fingerprint) bits = (bits << 8n) | BigInt(byte)
  const words = Array.from({ length: CODE_WORDS }, (_, index) => {
    const shift = BigInt(BITS * (CODE_WORDS - 1 - index))
    return wordlist[Number((bits >> shift) & 0x7ffn)] ?? ''
  })
  return words.join('-')
}

/**
 * The first words of a code as typed: any case, hyphens or spaces between, each word whole or its
 * first four letters. Comes back as `claimCode` writes them. @throws enrolment/bad-code
 */
export function parseCode(text: string): string[] {
  const typed = text
    .toLowerCase()
    .split(/[\s-]+/)
    .filter((word) => word !== '')
  if (typed.length === 0 || typed.length > CODE_WORDS)
    throw new CodedError(
      'enrolment/bad-code',
      `a code has ${CODE_WORDS} words, as the Pi shows them`,
    )
  return typed.map(wordFor)
}

function wordFor(typed: string): string {
  const found =
    wordlist.find((word) => word === typed) ??
    (typed.length >= 4 ? wordlist.find((word) => word.slice(0, 4) === typed) : undefined)
  if (found !== undefined) return found
  const shown = JSON.stringify(typed.slice(0, 20))
  throw new CodedError('enrolment/bad-code', `${shown} is no word of a code; look at the Pi again`)
}

/** The mirror of `claimCode` for all words; null for fewer. */
export function fingerprintOfWords(words: readonly string[]): Uint8Array | null {
  if (words.length !== CODE_WORDS) return null
  let bits = BigInt(0)
  for (const word of words) bits = (bits << BigInt(BITS)) | BigInt(wordlist.indexOf(word))
  return Uint8Array.from({ length: FINGERPRINT_LENGTH }, (_, index) =>
    Number((bits >> BigInt(8 * (FINGERPRINT_LENGTH - 1 - index))) & 0xffn),
  )
}
