/**
 * The secret on a card: 128 random bits that stand for "this key may have that name", once. Nobody
 * but the card has it: what is made of it is a signing key, and the cloud keeps the public half.
 */
import { fromBase64Url, toBase64Url, utf8 } from '#bytes'
import type { Crypto, SigningKey } from '#crypto'
import { CodedError } from '#errors'
import type { Random } from '#ports'

const LENGTH = 16
const SALT = utf8('fogmeter enrolment 1')
const INFO = utf8('token key')

export function newToken(random: Random): string {
  return toBase64Url(random(LENGTH))
}

/**
 * The Ed25519 key a token stands for: HKDF-SHA-256 (RFC 5869) of its 16 bytes gives the seed.
 * @throws enrolment/bad-token
 */
export function tokenKey(crypto: Crypto, token: string): SigningKey {
  const secret = parseToken(token)
  const seed = crypto.hkdfExpand(crypto.hkdfExtract(SALT, secret), INFO, 32)
  try {
    return crypto.signingKey(seed)
  } finally {
    secret.fill(0)
    seed.fill(0)
  }
}

/** The message does not quote what it read. */
function parseToken(text: string): Uint8Array {
  try {
    const bytes = fromBase64Url(text.trim())
    if (bytes.length === LENGTH) return bytes
  } catch {
    // falls through to the one error below
  }
  throw new CodedError(
    'enrolment/bad-token',
    'not an enrolment token (22 characters of base64url); prepare the card again',
  )
}
