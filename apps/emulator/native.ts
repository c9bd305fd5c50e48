import { concat } from '#bytes'
import { nativeCrypto as crypto } from '#crypto-native'
import { codeOf } from '#errors'
import type { Native } from './firmware/host.ts'

const YES = Uint8Array.of(1)
const NO = new Uint8Array()
const none = NO

/** The primitives as machine code offers them: bytes in, bytes out. */
export const nativePrimitives: Native = (name, a = none, b = none, c = none, d = none) => {
  switch (name) {
    case 'sha256':
      return crypto.sha256(a)
    case 'hmac':
      return crypto.hmacSha256(a, b)
    case 'expand':
      return crypto.hkdfExpand(a, b, (c[0] ?? 0) * 256 + (c[1] ?? 0))
    case 'public':
      return crypto.signingKey(a).publicKey
    case 'sign':
      return crypto.signingKey(a).sign(b)
    case 'verify':
      return crypto.verifyKey(a).verify(b, c) ? YES : NO
    case 'agree-public':
      return crypto.x25519(a).publicKey
    case 'agree':
      return agreed(a, b)
    case 'seal':
      return crypto.aead(a).seal(b, c, d)
    default: {
      const text = crypto.aead(a).open(b, c, d)
      return text === null ? NO : concat(YES, text)
    }
  }
}

function agreed(secret: Uint8Array, peer: Uint8Array): Uint8Array {
  try {
    return crypto.x25519(secret).shared(peer)
  } catch (error) {
    if (codeOf(error) === 'crypto/low-order') return NO
    throw error
  }
}
