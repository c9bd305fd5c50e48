/** CIPHERTEXT_3 and CIPHERTEXT_4: COSE_Encrypt0 with an empty header, RFC 9528 §5.4.2, §5.5.2. */
import { encStructure } from '#cose'
import { edhocError } from './errors.ts'
import { kdf, LABEL, traced, wipe } from './key-schedule.ts'
import type { Session } from './types.ts'

const NO_BYTES = new Uint8Array()

interface Keys {
  readonly key: Uint8Array
  readonly iv: Uint8Array
  readonly aad: Uint8Array
}

function deriveKeys(session: Session, message: 3 | 4, prk: Uint8Array, th: Uint8Array): Keys {
  const { aeadKeyLength, aeadNonceLength } = session.suite
  const [keyLabel, ivLabel] = message === 3 ? [LABEL.k3, LABEL.iv3] : [LABEL.k4, LABEL.iv4]
  return {
    key: kdf(session, `K_${message}`, prk, keyLabel, th, aeadKeyLength),
    iv: kdf(session, `IV_${message}`, prk, ivLabel, th, aeadNonceLength),
    aad: traced(session, `A_${message}`, encStructure(NO_BYTES, th)),
  }
}

/** CIPHERTEXT_3 under TH_3, or CIPHERTEXT_4 under TH_4. */
export function sealText(
  session: Session,
  message: 3 | 4,
  prk: Uint8Array,
  th: Uint8Array,
  plaintext: Uint8Array,
): Uint8Array {
  traced(session, `PLAINTEXT_${message}`, plaintext)
  const { key, iv, aad } = deriveKeys(session, message, prk, th)
  const ciphertext = session.suite.aeadSeal(key, iv, aad, plaintext)
  wipe(key, iv)
  return traced(session, `CIPHERTEXT_${message}`, ciphertext)
}

/** Mirrors `sealText`. @throws edhoc/not-authentic */
export function openText(
  session: Session,
  message: 3 | 4,
  prk: Uint8Array,
  th: Uint8Array,
  ciphertext: Uint8Array,
): Uint8Array {
  const { key, iv, aad } = deriveKeys(session, message, prk, th)
  const plaintext = session.suite.aeadOpen(key, iv, aad, ciphertext)
  wipe(key, iv)
  if (plaintext === null)
    throw edhocError('edhoc/not-authentic', `message_${message} does not belong to this session`)
  return traced(session, `PLAINTEXT_${message}`, plaintext)
}
